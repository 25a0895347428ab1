// What the camera shows before there is an avatar: a drawn card that says what to do, sent by a peer in the page itself.
// An error in its place would let a page fall back to the real camera, which the person has chosen not to show.

livehead.gathered = (peer) =>
  new Promise((resolve) => {
    const GATHER_MS = 700; // addresses of this machine are there at once; what takes longer is not waited for
    const done = () => peer.iceGatheringState === "complete" && resolve();
    peer.addEventListener("icegatheringstatechange", done);
    setTimeout(resolve, GATHER_MS);
    done();
  });

livehead.Waiting = (() => {
  const { gathered } = livehead;
  const Peer = RTCPeerConnection;
  const [WIDTH, HEIGHT] = [1280, 720]; // no smaller than pages insist on
  const TICK_MS = 500;
  const WORDS = {
    server: ["livehead serve does not answer", "start it with --extension"],
    refused: ["livehead serve does not know", "this extension: start it with --extension"],
    studio: ["Open the livehead studio", "and press Join"],
    key: ["The viewer's link or token is wrong", "choose it anew in the extension's options"],
    busy: ["The server has no place free", "or no stream of that name"],
  };
  const OTHER = ["One moment", ""];

  return class Waiting {
    constructor() {
      this.canvas = document.createElement("canvas"); // never part of the page
      [this.canvas.width, this.canvas.height] = [WIDTH, HEIGHT];
      this.beat = 0;
      this.draw("");
      this.track = this.canvas.captureStream().getVideoTracks()[0];
      this.track.contentHint = "text"; // rather fewer pictures than blurred words
      this.peer = new Peer({ iceServers: [] });
      this.timer = setInterval(() => this.draw(this.why), TICK_MS); // also what makes the canvas give pictures
    }

    /** `why`: a reason as background/whep.js gives them. */
    draw(why) {
      this.why = why;
      const [first, second] = WORDS[why] ?? OTHER;
      const pen = this.canvas.getContext("2d");
      pen.fillStyle = "#141816";
      pen.fillRect(0, 0, WIDTH, HEIGHT);
      pen.textAlign = "center";
      pen.fillStyle = this.beat++ % 2 ? "#63c7a3" : "#2b6f5b";
      pen.beginPath();
      pen.arc(WIDTH / 2, 240, 18, 0, 2 * Math.PI);
      pen.fill();
      pen.fillStyle = "#eef2f0";
      pen.font = "600 46px system-ui, sans-serif";
      pen.fillText(first, WIDTH / 2, 350);
      pen.font = "36px system-ui, sans-serif";
      pen.fillText(second, WIDTH / 2, 415);
    }

    /** SDP that answers the feed's offer. */
    async answer(sdp) {
      await this.peer.setRemoteDescription({ type: "offer", sdp });
      const [transceiver] = this.peer.getTransceivers();
      transceiver.direction = "sendonly";
      await transceiver.sender.replaceTrack(this.track);
      await this.peer.setLocalDescription();
      await gathered(this.peer);
      return this.peer.localDescription.sdp;
    }

    close() {
      clearInterval(this.timer);
      this.track.stop();
      this.peer.close();
    }
  };
})();
