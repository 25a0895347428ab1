// The connection to the server: one WebSocket for messages, one RTCPeerConnection for media, both made anew when lost.

const GATHER_MS = 700; // candidates of a LAN are there at once; what takes longer is not waited for
const LOST_MS = 2500; // a connection that is "disconnected" for so long is made anew
const RETRIES_MS = [300, 600, 1200, 2500, 5000];
const CAMERA_BITS = 2_500_000;

export class Link extends EventTarget {
  /** role: "studio" or "viewer". Events: state (detail: text), message (detail: the server's message), stream. */
  constructor(role, { token = "", key = "", transparent = false } = {}) {
    super();
    this.role = role;
    this.token = token;
    this.key = key;
    this.transparent = transparent; // a viewer that wants the matte beside the colours
    this.tracks = [];
    this.peer = null;
    this.socket = null;
    this.wanted = false;
    this.retry = 0;
  }

  async open(tracks = []) {
    this.tracks = tracks;
    this.wanted = true;
    await this.connect();
  }

  close(say = true) {
    this.wanted = false;
    clearTimeout(this.timer);
    clearTimeout(this.lost);
    if (say) this.send({ type: "bye" });
    this.peer?.close();
    this.peer = null;
    this.socket?.close();
    this.socket = null;
    this.tell("state", "not connected");
  }

  send(message) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  /** Send other tracks in place of those before, without a new connection. */
  async replace(tracks) {
    this.tracks = tracks;
    for (const sender of this.peer?.getSenders() ?? []) {
      const kind = sender.track?.kind ?? this.kinds.get(sender);
      await sender.replaceTrack(tracks.find((track) => track.kind === kind) ?? null);
    }
  }

  async connect() {
    this.tell("state", "connecting");
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}/signal`);
    this.socket = socket;
    const { role, token, key, transparent } = this;
    socket.onopen = () => this.send({ type: "hello", role, token, key, transparent });
    socket.onmessage = (event) => this.receive(JSON.parse(event.data), socket);
    socket.onclose = () => this.socket === socket && this.again();
  }

  async receive(message, socket) {
    if (socket !== this.socket) return;
    if (message.type === "welcome") {
      if (message.key) this.key = message.key;
      this.retry = 0;
      this.tell("message", message);
      await this.offer();
    } else if (message.type === "answer") {
      if (this.peer?.signalingState === "have-local-offer") {
        await this.peer.setRemoteDescription({ type: "answer", sdp: message.sdp });
      }
    } else {
      if (message.fatal) {
        this.wanted = false;
        this.tell("state", "refused");
      }
      this.tell("message", message);
    }
  }

  async offer() {
    this.peer?.close();
    const peer = new RTCPeerConnection({ iceServers: [], bundlePolicy: "max-bundle" });
    this.peer = peer;
    this.kinds = new Map();
    const direction = this.role === "viewer" ? "recvonly" : "sendrecv";
    for (const kind of ["video", "audio"]) {
      const track = this.tracks.find((each) => each.kind === kind);
      const sending = kind === "video" ? [{ maxBitrate: CAMERA_BITS, networkPriority: "high" }] : [{}];
      const transceiver = peer.addTransceiver(track ?? kind, { direction, sendEncodings: sending });
      this.kinds.set(transceiver.sender, kind);
      // Show what arrives at once: nobody listens to music here.
      if ("jitterBufferTarget" in transceiver.receiver) transceiver.receiver.jitterBufferTarget = 0;
    }
    peer.ontrack = ({ track }) => this.tell("track", track);
    peer.onconnectionstatechange = () => peer === this.peer && this.changed(peer.connectionState);
    await peer.setLocalDescription();
    await gathered(peer);
    if (peer === this.peer) this.send({ type: "offer", sdp: peer.localDescription.sdp });
  }

  changed(state) {
    clearTimeout(this.lost);
    this.tell("state", state);
    if (state === "failed") this.again();
    if (state === "disconnected") this.lost = setTimeout(() => this.again(), LOST_MS);
  }

  /** Make everything anew after a moment, longer from time to time. */
  again() {
    clearTimeout(this.timer);
    clearTimeout(this.lost);
    if (!this.wanted) return;
    this.tell("state", "connecting again");
    const socket = this.socket;
    this.socket = null;
    socket?.close();
    const wait = RETRIES_MS[Math.min(this.retry++, RETRIES_MS.length - 1)];
    this.timer = setTimeout(() => this.connect(), wait);
  }

  tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  /** What the browser measures: ms of encoding, decoding, waiting and the network; frames a second. */
  async figures() {
    if (!this.peer) return null;
    const found = { fps: 0, encode: 0, decode: 0, wait: 0, network: 0 };
    for (const report of (await this.peer.getStats()).values()) {
      if (report.type === "inbound-rtp" && report.kind === "video") {
        found.fps = report.framesPerSecond ?? 0;
        found.decode = this.mean("decode", report.totalDecodeTime, report.framesDecoded);
        found.wait = this.mean("wait", report.jitterBufferDelay, report.jitterBufferEmittedCount);
      } else if (report.type === "outbound-rtp" && report.kind === "video") {
        found.encode = this.mean("encode", report.totalEncodeTime, report.framesEncoded);
      } else if (report.type === "candidate-pair" && report.nominated) {
        found.network = (report.currentRoundTripTime ?? 0) * 1000;
      }
    }
    return found;
  }

  mean(name, total = 0, count = 0) {
    this.before ??= {};
    const [lastTotal, lastCount, last] = this.before[name] ?? [0, 0, 0];
    const value = count > lastCount ? ((total - lastTotal) / (count - lastCount)) * 1000 : count ? last : 0;
    this.before[name] = [total, count, value];
    return value;
  }
}

function gathered(peer) {
  if (peer.iceGatheringState === "complete") return Promise.resolve();
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, GATHER_MS);
    peer.addEventListener("icegatheringstatechange", () => {
      if (peer.iceGatheringState === "complete") {
        clearTimeout(timer);
        resolve();
      }
    });
  });
}
