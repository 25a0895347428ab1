// Put into a page by test_extension.py: `liveheadWatch(track, name)` notes the time code of each picture of a track
// (livehead/bench/timecode.py) and the moment, in Unix ms, when it was there; also while nobody sees the page.
(() => {
  const [CELLS, BITS, STRIP, SCALE] = [15, 12, 16, 4];
  window.liveheadSeen = {};

  function read(data) {
    const cells = Array.from({ length: CELLS }, (_, cell) => data[(cell * SCALE + SCALE / 2) * 4 + 1] > 125);
    const bits = cells.slice(2, 2 + BITS);
    const even = bits.filter(Boolean).length % 2 === 1;
    if (!cells[0] || cells[1] || even !== cells[CELLS - 1]) return -1;
    return bits.reduce((number, bit) => number * 2 + Number(bit), 0);
  }

  window.liveheadWatch = async (track, name) => {
    const pen = new OffscreenCanvas(CELLS * SCALE, 1).getContext("2d", { willReadFrequently: true });
    const list = (liveheadSeen[name] = []);
    const reader = new MediaStreamTrackProcessor({ track: track.clone() }).readable.getReader();
    for (;;) {
      const { value: picture, done } = await reader.read();
      if (done) return;
      const { displayWidth: width, displayHeight: height } = picture;
      const at = performance.timeOrigin + performance.now();
      pen.drawImage(picture, 0, height / STRIP / 4, width, height / STRIP / 2, 0, 0, CELLS * SCALE, 1);
      picture.close();
      list.push({ number: read(pen.getImageData(0, 0, CELLS * SCALE, 1).data), at, size: `${width}x${height}` });
    }
  };
})();
