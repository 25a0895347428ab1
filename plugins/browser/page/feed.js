// One device's picture or sound: a connection to the server that is made anew when it is lost, without the page's
// tracks noticing. They hang on one receiver, and that keeps its track when another server (the card of waiting.js, or
// the restarted one) answers its next offer. Until then the last picture stands.

(() => {
  const RETRY_MS = 1000;
  const LOST_MS = 1500; // a connection that is "disconnected" for so long is made anew
  const CONNECT_MS = 6000;
  const FIRST_PICTURE_MS = 6000;

  const { ask, onNews, gathered, Waiting } = livehead;
  // Kept, as a page may put its own in place.
  const Peer = RTCPeerConnection;
  const Processor = globalThis.MediaStreamTrackProcessor;

  const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

  livehead.Feed = class Feed {
    /** kind: "video" or "audio"; `device`: whose leave it needs. `onOver` is called when no track of the page is left. */
    constructor(kind, device, onOver) {
      this.kind = kind;
      this.device = device;
      this.onOver = onOver;
      this.peer = new Peer({ iceServers: [], bundlePolicy: "max-bundle" });
      // The server wants a picture in every offer; where only sound is wanted, it is offered as inactive.
      const picture = this.peer.addTransceiver("video", { direction: kind === "video" ? "recvonly" : "inactive" });
      this.receiver = (kind === "video" ? picture : this.peer.addTransceiver("audio", { direction: "recvonly" })).receiver;
      if ("jitterBufferTarget" in this.receiver) this.receiver.jitterBufferTarget = 0;
      this.handed = new Set();
      this.card = null;
      this.place = null;
      this.renewing = null;
      this.peer.addEventListener("connectionstatechange", () => this.changed());
      addEventListener("pagehide", () => this.over || this.close());
      onNews((news, about) => {
        if (news === "picture" && !this.over) this.renew();
        if (news === "revoked" && about.device === this.device && !this.over) this.revoke();
      });
      if (kind === "audio") this.drawSound();
    }

    /** A track for the page, once there is a picture. Raises: DOMException. */
    async track() {
      this.renew();
      try {
        if (this.kind === "video") await (this.first ??= this.firstPicture());
      } catch (error) {
        this.first = null; // the next one may have more luck
        if (!this.handed.size && !this.over) this.close();
        throw error;
      }
      return this.receiver.track.clone();
    }

    /** Settings of what comes from the server, whatever a page makes of it. */
    settings() {
      return this.receiver.track.getSettings();
    }

    /** The page has `track`. */
    keep(track) {
      this.handed.add(track);
    }

    /** The page has stopped `track`. */
    release(track) {
      if (!this.handed.delete(track) || this.handed.size) return;
      this.close();
    }

    /** The browser takes the leave away: as with a camera, the tracks end and the page is told. */
    revoke() {
      for (const track of [...this.handed]) {
        track.stop();
        track.dispatchEvent(new Event("ended"));
      }
      if (!this.over) this.close();
    }

    close() {
      this.over = true;
      this.card?.close();
      this.peer.close();
      if (this.speaker) this.speaker.srcObject = null;
      if (this.place) ask("leave", { place: this.place });
      this.onOver();
    }

    /** Chromium decodes a remote sound only while something plays it; a muted element does. */
    drawSound() {
      this.speaker = new Audio();
      this.speaker.muted = true;
      this.speaker.srcObject = new MediaStream([this.receiver.track]);
      this.speaker.play().catch(() => {});
    }

    async firstPicture() {
      const reader = new Processor({ track: this.receiver.track.clone() }).readable.getReader();
      const { value } = await Promise.race([reader.read(), pause(FIRST_PICTURE_MS).then(() => ({}))]);
      value?.close();
      reader.cancel();
      if (!value) throw new DOMException("livehead gives no picture", "NotReadableError");
    }

    changed() {
      clearTimeout(this.lost);
      if (this.peer.connectionState === "failed") this.renew();
      if (this.peer.connectionState === "disconnected") this.lost = setTimeout(() => this.renew(), LOST_MS);
    }

    /** Connect anew, one attempt after another, until one succeeds. */
    renew() {
      return (this.renewing ??= this.keepTrying().finally(() => (this.renewing = null)));
    }

    async keepTrying() {
      while (!this.over) {
        const { ready, why } = await ask("ready");
        const failed = ready ? await this.connect() : why;
        if (this.over || !failed) return;
        await this.showCard(failed);
        await pause(RETRY_MS);
      }
    }

    /** Say on a card why there is nothing to see, unless there is: then that stands. */
    async showCard(why) {
      if (this.kind === "audio") return;
      this.card?.draw(why);
      if (this.card || this.peer.remoteDescription) return;
      this.card = new Waiting();
      this.card.draw(why);
      await this.exchange(async (sdp) => ({ sdp: await this.card.answer(sdp) }));
    }

    /** "" when the server's picture comes, else why not. */
    async connect() {
      const why = await this.exchange(async (sdp) => {
        const answer = await ask("watch", { sdp, devices: [this.device] });
        if (answer.place) {
          if (this.place) ask("leave", { place: this.place });
          this.place = answer.place;
        }
        return answer;
      });
      if (why) return why;
      this.card?.close();
      this.card = null;
      return (await this.connected()) ? "" : "server";
    }

    /** Offer, and take what `answering` answers; "" or why there was no answer. */
    async exchange(answering) {
      if (this.over) return "";
      await this.peer.setLocalDescription(await this.peer.createOffer({ iceRestart: true }));
      await gathered(this.peer);
      const { sdp, why } = await answering(this.peer.localDescription.sdp);
      if (this.over) return "";
      if (!sdp) {
        await this.peer.setLocalDescription({ type: "rollback" });
        return why ?? "server";
      }
      await this.peer.setRemoteDescription({ type: "answer", sdp });
      return "";
    }

    /** Whether the connection that was just agreed on comes up. The state may be the last one's still. */
    connected() {
      const up = () => ["connected", "closed"].includes(this.peer.connectionState);
      return new Promise((resolve) => {
        const watching = new AbortController();
        const done = (whether) => {
          watching.abort();
          resolve(whether);
        };
        const changed = () => (up() ? done(true) : this.peer.connectionState === "failed" && done(false));
        this.peer.addEventListener("connectionstatechange", changed, { signal: watching.signal });
        setTimeout(() => done(up()), CONNECT_MS);
        if (up()) done(true);
      });
    }
  };
})();
