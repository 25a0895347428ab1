// The connection to the server: one WebSocket for messages, one RTCPeerConnection for media.
//
// When the network changes, the socket is made anew and the peer looks for another way (ICE restart): pictures go on
// where they stopped. Only where the server no longer knows the peer is that made anew too.

const GATHER_MS = 700; // candidates of a LAN are there at once; what takes longer is not waited for ...
const RELAY_MS = 1500; // ... unless the server names others that are to be asked for a way
const WATCH_MS = 400; // how often it is looked whether packets come
const SILENT_MS = 1000; // the server always sends pictures: without any for so long, something is wrong
const PATIENCE_MS = 2000; // for the socket to open, and for a new way to work
const ANSWER_MS = 1000; // without an answer by then, the socket may be dead without knowing it
const RESTARTS = 3; // that may be in vain until the peer is made anew
const RETRIES_MS = [100, 300, 600, 1200, 2000];
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
    this.ways = { iceServers: [] }; // that the server tells of
    this.peer = null;
    this.socket = null;
    this.wanted = false;
    this.retry = 0;
    this.session = "";
    this.restarts = 0;
    this.heard = { packets: 0, at: 0 };
    addEventListener("online", () => this.restart());
    navigator.connection?.addEventListener("change", () => this.restart());
  }

  async open(tracks = []) {
    this.tracks = tracks;
    this.wanted = true;
    this.watching ??= setInterval(() => this.listen(), WATCH_MS);
    await this.connect();
  }

  close(say = true) {
    this.wanted = false;
    clearTimeout(this.timer);
    clearTimeout(this.lost);
    clearInterval(this.watching);
    this.watching = null;
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
    clearTimeout(this.timer);
    if (this.peer?.connectionState !== "connected") this.tell("state", "connecting");
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}/signal`);
    this.socket = socket;
    this.timer = setTimeout(() => this.socket === socket && this.again(), PATIENCE_MS);
    const { role, token, key, transparent } = this;
    socket.onopen = () => {
      clearTimeout(this.timer);
      this.send({ type: "hello", role, token, key, transparent });
    };
    socket.onmessage = (event) => this.receive(JSON.parse(event.data), socket);
    socket.onclose = () => this.socket === socket && this.again();
  }

  async receive(message, socket) {
    if (socket !== this.socket) return;
    if (message.type === "welcome") {
      const known = message.key !== "" && message.key === this.session;
      if (message.key) this.key = this.session = message.key;
      this.retry = 0;
      this.ways = {
        iceServers: message.ice_servers,
        iceTransportPolicy: message.relay_only ? "relay" : "all",
      };
      this.tell("message", message);
      if (known && this.peer) {
        this.peer.setConfiguration({ ...this.peer.getConfiguration(), ...this.ways }); // passwords for relays age
        await this.restart();
      } else {
        await this.offer();
      }
    } else if (message.type === "answer") {
      await this.answered(message.sdp);
    } else {
      if (message.fatal) {
        this.wanted = false;
        this.tell("state", "refused");
      }
      this.tell("message", message);
    }
  }

  async answered(sdp) {
    const peer = this.peer;
    if (peer?.signalingState !== "have-local-offer") return;
    const before = peer.currentRemoteDescription;
    if (before && !sdp.toUpperCase().includes(fingerprint(before.sdp))) {
      await this.offer(); // the server did not know this peer any more
    } else {
      await peer.setRemoteDescription({ type: "answer", sdp });
    }
  }

  /** A new peer. */
  async offer() {
    this.peer?.close();
    const peer = new RTCPeerConnection({ ...this.ways, bundlePolicy: "max-bundle" });
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
    await this.describe(peer);
  }

  /** Look for another way for the peer that there is; with a new socket too, and a new peer, when that is no help. */
  async restart() {
    const peer = this.peer;
    if (!this.wanted || !peer?.currentRemoteDescription) return;
    if (this.socket?.readyState !== WebSocket.OPEN) {
      if (!this.socket) this.connect(); // its welcome comes back here
      return;
    }
    if (this.restarts >= RESTARTS) {
      this.restarts = 0;
      await this.offer();
      return;
    }
    const { packets } = this.heard;
    const patience = ANSWER_MS * ++this.restarts + (this.ways.iceServers.length ? 2 * RELAY_MS : 0);
    clearTimeout(this.lost);
    this.lost = setTimeout(() => {
      if (peer !== this.peer || packets !== this.heard.packets) return;
      if (peer.signalingState === "have-local-offer") this.again();
      else this.lost = setTimeout(() => peer === this.peer && packets === this.heard.packets && this.restart(), PATIENCE_MS);
    }, patience);
    peer.restartIce();
    await this.describe(peer);
  }

  async describe(peer) {
    const socket = this.socket;
    const done = gathered(peer, this.ways.iceServers.length ? RELAY_MS : GATHER_MS);
    await peer.setLocalDescription();
    await done;
    if (peer === this.peer && socket === this.socket) this.send({ type: "offer", sdp: peer.localDescription.sdp });
  }

  changed(state) {
    this.tell("state", state === "disconnected" || state === "failed" ? "connecting again" : state);
    if (state === "connected") this.heard.at = performance.now();
    if (state === "failed") this.restart();
  }

  /** Notice that nothing comes any more long before the browser says so. */
  async listen() {
    const peer = this.peer;
    if (!peer?.currentRemoteDescription) return;
    let packets = 0;
    for (const report of (await peer.getStats()).values()) {
      if (report.type === "inbound-rtp") packets += report.packetsReceived ?? 0;
    }
    const now = performance.now();
    if (packets !== this.heard.packets || peer !== this.heard.peer) {
      const back = this.heard.lost && peer === this.heard.peer;
      this.heard = { packets, at: now, peer };
      this.restarts = 0;
      if (back) this.tell("state", peer.connectionState);
    } else if (now - this.heard.at > SILENT_MS && packets) {
      this.heard.at = now;
      this.heard.lost = true;
      this.tell("state", "connecting again");
      await this.restart();
    }
  }

  /** Make the socket anew after a moment, longer from time to time. */
  again() {
    clearTimeout(this.timer);
    clearTimeout(this.lost);
    if (!this.wanted) return;
    this.heard.lost = true; // until packets come: the next one tells how things stand
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

  /** What the browser measures: ms of encoding, decoding, waiting (pictures, sound) and the network; frames a second. */
  async figures() {
    if (!this.peer) return null;
    const found = { fps: 0, encode: 0, decode: 0, wait: 0, sound: 0, network: 0 };
    for (const report of (await this.peer.getStats()).values()) {
      if (report.type === "inbound-rtp" && report.kind === "video") {
        found.fps = report.framesPerSecond ?? 0;
        found.decode = this.mean("decode", report.totalDecodeTime, report.framesDecoded);
        found.wait = this.mean("wait", report.jitterBufferDelay, report.jitterBufferEmittedCount);
      } else if (report.type === "inbound-rtp") {
        found.sound = this.mean("sound", report.jitterBufferDelay, report.jitterBufferEmittedCount);
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

/** Of the keys of whoever made an SDP; the browser keeps one of those that were told. */
function fingerprint(sdp) {
  return sdp.toUpperCase().match(/A=FINGERPRINT:\S+ \S+/)?.[0];
}

/** Until all addresses are known that come soon; to be called before they are looked for. */
function gathered(peer, most) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, most);
    peer.addEventListener("icecandidate", ({ candidate }) => {
      if (candidate === null) {
        clearTimeout(timer);
        resolve();
      }
    });
  });
}
