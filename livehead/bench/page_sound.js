// Put into the studio page by `livehead bench webrtc`: the loudness of the microphone and of what comes back as the
// avatar's voice, on one clock. `liveheadSound` gives, and forgets, triples of seconds and the two loudnesses; the clock
// is another one after each call.
(async () => {
  function hear() {
    const STEP = 256; // samples; 5.3 ms at 48 kHz

    class Ear extends AudioWorkletProcessor {
      power = [0, 0];
      count = 0;
      heard = [];

      process([input]) {
        const length = input[0]?.length ?? 128;
        [0, 1].forEach((channel) => {
          for (const sample of input[channel] ?? []) this.power[channel] += sample * sample;
        });
        this.count += length;
        if (this.count >= STEP) {
          this.heard.push([currentTime, ...this.power.map((power) => Math.sqrt(power / this.count))]);
          [this.power, this.count] = [[0, 0], 0];
          if (this.heard.length >= 20) this.port.postMessage(this.heard.splice(0));
        }
        return true;
      }
    }
    registerProcessor("ear", Ear);
  }

  /** A graph of its own that notes what is heard, `{ context, heard }`. */
  async function listen() {
    const context = new AudioContext({ sampleRate: 48000 });
    await context.resume();
    const program = URL.createObjectURL(new Blob([`(${hear})()`], { type: "text/javascript" }));
    await context.audioWorklet.addModule(program);
    URL.revokeObjectURL(program);
    const pair = context.createChannelMerger(2);
    ["self", "avatar"].forEach((id, channel) => {
      const tracks = document.getElementById(id).srcObject.getAudioTracks();
      context.createMediaStreamSource(new MediaStream(tracks)).connect(pair, 0, channel);
    });
    const ear = new AudioWorkletNode(context, "ear", { numberOfInputs: 1, channelCount: 2, channelCountMode: "explicit" });
    const heard = [];
    ear.port.onmessage = ({ data }) => heard.push(...data);
    pair.connect(ear).connect(context.destination);
    return { context, heard };
  }

  // A graph that once got no processor time keeps its two inputs apart by what it missed of either: each call's own.
  let current = await listen();
  window.liveheadSound = () => {
    const { context, heard } = current;
    current = { heard: [] };
    context?.close().then(listen).then((next) => (current = next));
    return heard;
  };
})();
