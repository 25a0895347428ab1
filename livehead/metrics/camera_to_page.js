// Put into the studio page by `livehead bench webrtc`: notes each picture of the camera and of the avatar by its time
// code (livehead/metrics/timecode.py), and when it was there.
(() => {
  const [CELLS, BITS, STRIP, SCALE] = [15, 12, 16, 4];

  function read(data) {
    const cells = [];
    for (let cell = 0; cell < CELLS; cell++) cells.push(data[(cell * SCALE + SCALE / 2) * 4 + 1] > 125);
    const bits = cells.slice(2, 2 + BITS);
    const even = bits.filter(Boolean).length % 2 === 1;
    if (!cells[0] || cells[1] || even !== cells[CELLS - 1]) return -1;
    return bits.reduce((number, bit) => number * 2 + Number(bit), 0);
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
    const canvas = new OffscreenCanvas(CELLS * SCALE, 1);
    const pen = canvas.getContext("2d", { willReadFrequently: true });
    const step = (now, picture) => {
      video.requestVideoFrameCallback(step);
      const height = video.videoHeight / STRIP;
      pen.drawImage(video, 0, height / 4, video.videoWidth, height / 2, 0, 0, CELLS * SCALE, 1);
      const number = read(pen.getImageData(0, 0, CELLS * SCALE, 1).data);
      list.push({
        number,
        now,
        shown: picture.presentationTime,
        captured: picture.captureTime ?? 0,
        received: picture.receiveTime ?? 0,
        decoding: (picture.processingDuration ?? 0) * 1000,
        thumbnail: small ? thumbnail(video, small) : "",
      });
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
