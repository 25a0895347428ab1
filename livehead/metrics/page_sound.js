// Put into the studio page by `livehead bench webrtc`: the loudness of the microphone and of what comes back as the
// avatar's voice, on one clock. `liveheadSound` gives, and forgets, triples of seconds and the two loudnesses.
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

  const context = new AudioContext({ sampleRate: 48000 });
  await context.resume();
  const program = new Blob([`(${hear})()`], { type: "text/javascript" });
  await context.audioWorklet.addModule(URL.createObjectURL(program));
  const pair = context.createChannelMerger(2);
  ["self", "avatar"].forEach((id, channel) => {
    const tracks = document.getElementById(id).srcObject.getAudioTracks();
    context.createMediaStreamSource(new MediaStream(tracks)).connect(pair, 0, channel);
  });
  const ear = new AudioWorkletNode(context, "ear", { numberOfInputs: 1, channelCount: 2, channelCountMode: "explicit" });
  const heard = [];
  ear.port.onmessage = ({ data }) => heard.push(...data);
  pair.connect(ear).connect(context.destination);
  window.liveheadSound = () => heard.splice(0);
})();
