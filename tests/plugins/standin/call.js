// A call's page, as conferencing sites are: it lists devices, takes the chosen ones and sends them to a second peer.

const show = (id, stream) => (document.getElementById(id).srcObject = stream);

const call = {
  problems: [],

  async devices() {
    return (await navigator.mediaDevices.enumerateDevices()).map((each) => each.toJSON());
  },

  /** The track of a device by its label, as a person chooses it; `more` are further constraints. */
  async choose(label, more = {}) {
    const { deviceId, kind } = (await call.devices()).find((each) => each.label === label);
    const media = kind === "videoinput" ? "video" : "audio";
    call.stream = await navigator.mediaDevices.getUserMedia({ [media]: { deviceId: { exact: deviceId }, ...more } });
    if (media === "video") show("local", call.stream);
    return call.stream.getTracks()[0];
  },

  /** The error that choosing ends with: its name and the constraint it tells. */
  async refusal(constraints) {
    try {
      await navigator.mediaDevices.getUserMedia(constraints);
      return "none";
    } catch (error) {
      return [error.name, error.constraint].filter(Boolean).join(" ");
    }
  },

  /** Send what was chosen to a second peer; what that one gets is shown. */
  async dial() {
    const [near, far] = [new RTCPeerConnection(), new RTCPeerConnection()];
    near.onicecandidate = ({ candidate }) => far.addIceCandidate(candidate);
    far.onicecandidate = ({ candidate }) => near.addIceCandidate(candidate);
    far.ontrack = ({ track }) => show("remote", (call.heard = new MediaStream([track])));
    for (const track of call.stream.getTracks()) near.addTrack(track, call.stream);
    await near.setLocalDescription();
    await far.setRemoteDescription(near.localDescription);
    await far.setLocalDescription();
    await near.setRemoteDescription(far.localDescription);
  },

  /** What the bridge answers to `messages` within so many ms, asked past page/*.js. */
  async tell(messages, ms) {
    const told = [];
    document.addEventListener("livehead-tell", ({ detail }) => told.push(JSON.parse(detail)));
    for (const message of messages) {
      document.dispatchEvent(new CustomEvent("livehead-ask", { detail: JSON.stringify(message) }));
    }
    await new Promise((resolve) => setTimeout(resolve, ms));
    return told;
  },

  /** Ask the bridge for picture and sound with an offer that `twist` has changed; what came within so many ms. */
  async attack(twist, ms) {
    const peer = (call.attacker = new RTCPeerConnection({ bundlePolicy: "max-bundle" }));
    for (const kind of ["video", "audio"]) peer.addTransceiver(kind, { direction: "recvonly" });
    await peer.setLocalDescription();
    while (peer.iceGatheringState !== "complete") await new Promise((resolve) => setTimeout(resolve, 50));
    const told = await call.tell([{ ask: "watch", number: 7, sdp: twist(peer.localDescription.sdp) }], ms);
    const sdp = told.find((each) => each.number === 7)?.sdp;
    if (!sdp) return { answered: false };
    await peer.setRemoteDescription({ type: "answer", sdp });
    await new Promise((resolve) => setTimeout(resolve, ms));
    const reports = [...(await peer.getStats()).values()].filter((each) => each.type === "inbound-rtp");
    const packets = (kind) => reports.find((each) => each.kind === kind)?.packetsReceived ?? 0;
    return { answered: true, pictures: packets("video"), sounds: packets("audio") };
  },

  /** How many packets of pictures the attacker has got. */
  async received() {
    const reports = [...(await call.attacker.getStats()).values()];
    return reports.find((each) => each.type === "inbound-rtp" && each.kind === "video")?.packetsReceived ?? 0;
  },

  /** Mean colour of the left half of what a video shows, null while it shows nothing. */
  colour(id) {
    const video = document.getElementById(id);
    if (!video.videoWidth) return null;
    const pen = Object.assign(document.createElement("canvas"), { width: 1, height: 1 }).getContext("2d");
    pen.drawImage(video, 0, 0, video.videoWidth / 2, video.videoHeight, 0, 0, 1, 1);
    return [...pen.getImageData(0, 0, 1, 1).data.slice(0, 3)];
  },

  pictures: (id) => document.getElementById(id).getVideoPlaybackQuality().totalVideoFrames,

  /** The loudest sample of a stream until it is above `enough`, or so many ms, by Web Audio, as level meters hear it. */
  async level(stream, enough, ms) {
    const audio = new AudioContext();
    await audio.resume();
    const analyser = audio.createAnalyser();
    audio.createMediaStreamSource(stream).connect(analyser);
    const samples = new Float32Array(analyser.fftSize);
    let loudest = 0;
    for (const end = performance.now() + ms; performance.now() < end && loudest <= enough; ) {
      await new Promise((resolve) => setTimeout(resolve, 30));
      analyser.getFloatTimeDomainData(samples);
      for (const sample of samples) loudest = Math.max(loudest, Math.abs(sample));
    }
    await audio.close();
    return loudest;
  },
};

addEventListener("securitypolicyviolation", ({ violatedDirective }) => call.problems.push(violatedDirective));
addEventListener("error", ({ message }) => call.problems.push(message));
addEventListener("unhandledrejection", ({ reason }) => call.problems.push(String(reason)));
navigator.mediaDevices.addEventListener("devicechange", () => (call.changes = (call.changes ?? 0) + 1));
document.addEventListener("DOMContentLoaded", async () => {
  document.querySelector("h1").textContent = location.host;
  for (const { kind, label } of await call.devices()) {
    if (kind === "videoinput") document.getElementById("camera").add(new Option(label));
  }
});
