// The last minute of latency (line) and frame rate (bars behind it), drawn in the colours of the page.

const KEPT = 60;

export class Chart {
  constructor(canvas) {
    this.canvas = canvas;
    this.points = [];
  }

  add(latency, fps) {
    this.points.push([latency, fps]);
    if (this.points.length > KEPT) this.points.shift();
    this.draw();
  }

  draw() {
    const { canvas, points } = this;
    const scale = window.devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    canvas.width = width * scale;
    canvas.height = height * scale;
    const pen = canvas.getContext("2d");
    pen.scale(scale, scale);
    const style = getComputedStyle(canvas);
    const most = Math.max(100, ...points.map(([latency]) => latency)) * 1.1;
    const step = width / KEPT;
    const left = width - points.length * step;
    pen.fillStyle = style.color;
    pen.globalAlpha = 0.22;
    points.forEach(([, fps], at) => {
      const tall = (Math.min(fps, 60) / 60) * height;
      pen.fillRect(left + at * step, height - tall, Math.max(step - 1, 1), tall);
    });
    pen.globalAlpha = 1;
    pen.strokeStyle = style.color;
    pen.lineWidth = 2;
    pen.beginPath();
    points.forEach(([latency], at) => pen.lineTo(left + (at + 0.5) * step, height - (latency / most) * height));
    pen.stroke();
    pen.font = "11px system-ui, sans-serif";
    pen.fillText(`${Math.round(most)} ms`, 2, 11);
  }
}
