// A video whose right half is the matte of its left half, joined in a canvas that is clear where the matte is black.
// By WebGL where a graphics card does it, else pixel by pixel, which takes half as long as WebGL in software.

const CLEAR = 20 / 255; // a matte up to here was black, and one from SOLID on white, before it was coded
const SOLID = 235 / 255;
const LUMA = [0.2126, 0.7152, 0.0722]; // of BT.709: what colours spill into the matte has no weight in it

const VERTEX = `
  attribute vec2 corner;
  varying vec2 place;
  void main() {
    place = corner * 0.5 + 0.5;
    gl_Position = vec4(corner, 0.0, 1.0);
  }`;
const FRAGMENT = `
  precision highp float;
  uniform sampler2D video;
  varying vec2 place;
  void main() {
    vec3 colour = texture2D(video, vec2(place.x * 0.5, place.y)).rgb;
    vec3 matte = texture2D(video, vec2(place.x * 0.5 + 0.5, place.y)).rgb;
    float grey = dot(matte, vec3(${LUMA.join(", ")}));
    float alpha = clamp((grey - ${CLEAR.toFixed(6)}) / ${(SOLID - CLEAR).toFixed(6)}, 0.0, 1.0);
    gl_FragColor = vec4(colour * alpha, alpha);
  }`;

export class Cutout {
  /** canvas: fresh, no context was asked of it. webgl: whether it may be used; software: also without a card. */
  constructor(canvas, { webgl = true, software = false } = {}) {
    this.canvas = canvas;
    const wishes = { alpha: true, antialias: false, depth: false, failIfMajorPerformanceCaveat: !software };
    this.gl = webgl ? canvas.getContext("webgl", wishes) : null;
    if (this.gl) {
      this.build();
      canvas.addEventListener("webglcontextlost", (event) => event.preventDefault()); // it may come back
      canvas.addEventListener("webglcontextrestored", () => this.build());
    } else {
      this.flat = canvas.getContext("2d");
      this.whole = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    }
  }

  /** Show what the video shows now. */
  draw(video) {
    const [width, height] = [video.videoWidth >> 1, video.videoHeight];
    if (!width || !height) return;
    if (this.canvas.width !== width || this.canvas.height !== height) {
      [this.canvas.width, this.canvas.height] = [width, height];
    }
    if (this.gl) this.drawOnGpu(video, width, height);
    else this.drawByPixel(video, width, height);
  }

  /** Show nothing. */
  clear() {
    if (this.gl) {
      this.gl.clearColor(0, 0, 0, 0);
      this.gl.clear(this.gl.COLOR_BUFFER_BIT);
    } else {
      this.flat.clearRect(0, 0, this.canvas.width, this.canvas.height);
    }
  }

  build() {
    const gl = this.gl;
    const program = gl.createProgram();
    for (const [kind, text] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, text);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    gl.useProgram(program);
    gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ARRAY_BUFFER, new Float32Array([-1, -1, 1, -1, -1, 1, 1, 1]), gl.STATIC_DRAW);
    const corner = gl.getAttribLocation(program, "corner");
    gl.enableVertexAttribArray(corner);
    gl.vertexAttribPointer(corner, 2, gl.FLOAT, false, 0, 0);
    gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
    // The nearest pixel, and no other: between two of them the halves would mix where they meet.
    for (const filter of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_2D, filter, gl.NEAREST);
    for (const wrap of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T]) gl.texParameteri(gl.TEXTURE_2D, wrap, gl.CLAMP_TO_EDGE);
    gl.pixelStorei(gl.UNPACK_FLIP_Y_WEBGL, true);
  }

  drawOnGpu(video, width, height) {
    const gl = this.gl;
    gl.viewport(0, 0, width, height);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGB, gl.RGB, gl.UNSIGNED_BYTE, video);
    gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
  }

  drawByPixel(video, width, height) {
    const { canvas } = this.whole;
    if (canvas.width !== 2 * width || canvas.height !== height) [canvas.width, canvas.height] = [2 * width, height];
    this.whole.drawImage(video, 0, 0, 2 * width, height);
    const colour = this.whole.getImageData(0, 0, width, height);
    const matte = this.whole.getImageData(width, 0, width, height).data;
    const scale = 1 / (SOLID - CLEAR);
    for (let at = 0; at < matte.length; at += 4) {
      const grey = LUMA[0] * matte[at] + LUMA[1] * matte[at + 1] + LUMA[2] * matte[at + 2];
      colour.data[at + 3] = (grey - 255 * CLEAR) * scale; // a clamped array: what is beyond 0 and 255 ends there
    }
    this.flat.putImageData(colour, 0, 0);
  }
}
