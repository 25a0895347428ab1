// Put into the studio page by `livehead bench webrtc`: notes each picture of the camera and of the avatar by its time
// code (livehead/bench/timecode.py), and when it was there.
(() => {
  const [CELLS, BITS, STRIP] = [15, 12, 16];

  function read(cells) {
    const bits = cells.slice(2, 2 + BITS);
    const even = bits.filter(Boolean).length % 2 === 1;
    if (!cells[0] || cells[1] || even !== cells[CELLS - 1]) return -1;
    return bits.reduce((number, bit) => number * 2 + Number(bit), 0);
  }

  /** The number in a picture: two lines of its luma are read, as a canvas would turn all of it into colours first. */
  async function numberOf(video) {
    const frame = new VideoFrame(video);
    try {
      const { x, y, width, height } = frame.visibleRect;
      const rect = { x, y: y + 2 * Math.floor(height / STRIP / 4), width, height: 2 };
      const bytes = new Uint8Array(frame.allocationSize({ rect }));
      const [{ offset }] = await frame.copyTo(bytes, { rect });
      const place = (cell) => offset + Math.floor(((cell + 0.5) * width) / CELLS);
      return read(Array.from({ length: CELLS }, (_, cell) => bytes[place(cell)] > 125));
    } finally {
      frame.close();
    }
  }

  const [WIDE, HIGH] = [64, 36];

  /** Luma of a picture below the time code, made small, as base64. */
  function thumbnail(video, pen) {
    const strip = video.videoHeight / STRIP;
    pen.drawImage(video, 0, strip, video.videoWidth, video.videoHeight - strip, 0, 0, WIDE, HIGH);
    const { data } = pen.getImageData(0, 0, WIDE, HIGH);
    let luma = "";
    for (let at = 0; at < data.length; at += 4) {
      luma += String.fromCharCode((data[at] * 77 + data[at + 1] * 150 + data[at + 2] * 29) >> 8);
    }
    return btoa(luma);
  }

  function watch(video, list, kept = false) {
    const small = kept && new OffscreenCanvas(WIDE, HIGH).getContext("2d", { willReadFrequently: true });
    const step = (now, picture) => {
      video.requestVideoFrameCallback(step);
      const note = {
        number: -1,
        now,
        shown: picture.presentationTime,
        captured: picture.captureTime ?? 0,
        received: picture.receiveTime ?? 0,
        decoding: (picture.processingDuration ?? 0) * 1000,
        thumbnail: small ? thumbnail(video, small) : "",
      };
      list.push(note);
      numberOf(video).then((number) => (note.number = number));
    };
    video.requestVideoFrameCallback(step);
  }

  const seen = { self: [], avatar: [], figures: [], joined: 0 };
  window.liveheadSeen = seen;
  watch(document.getElementById("self"), seen.self);
  watch(document.getElementById("avatar"), seen.avatar, window.liveheadThumbnails);
  document.addEventListener("livehead-figures", (event) => seen.figures.push(event.detail));
  seen.joined = performance.now();
  document.getElementById("join").click();
})();
