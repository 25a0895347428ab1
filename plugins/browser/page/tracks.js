// What a track of livehead tells of itself: it is a remote track to the browser, and a camera's to the page.
//
// Methods are replaced on the prototypes by proxies of the browser's own: name, length and toString stay the browser's
// ("[native code]"), and every other track gets the browser's own answer.

livehead.tracks = (() => {
  const { DEVICES, FACING, MOST_FPS, impossible, beyond, adaptable } = livehead.constraints;
  const AUDIO_RATE = 48000;
  const ADAPT_MS = 300;
  const ADAPT_TRIES = 40;
  const { applyConstraints } = MediaStreamTrack.prototype;
  const known = new WeakMap(); // track -> { kind, feed, constraints }

  /** Replace `name` of `prototype`; `handle(native, self, args)` decides. */
  function replace(prototype, name, handle) {
    const property = Object.getOwnPropertyDescriptor(prototype, name);
    const slot = property?.get ? "get" : "value";
    if (typeof property?.[slot] !== "function") return; // a browser without it
    const apply = (target, self, args) => handle((...given) => Reflect.apply(target, self, given), self, args);
    property[slot] = new Proxy(property[slot], { apply });
    Object.defineProperty(prototype, name, property);
  }

  /** Make `track` one of ours; `feed` hears when it is over. */
  function adopt(track, kind, feed, constraints = {}) {
    known.set(track, { kind, feed, constraints });
    feed.keep(track);
    track.addEventListener("ended", () => feed.release(track));
    return track;
  }

  function copy(track, clone) {
    const { kind, feed, constraints } = known.get(track);
    return adopt(clone, kind, feed, constraints);
  }

  function identity(kind) {
    const { deviceId, groupId } = DEVICES[kind];
    return { deviceId, groupId, ...(kind === "video" && { facingMode: FACING }) };
  }

  /** `source`: settings of the picture as it comes from the server. */
  function capabilities(kind, source) {
    const { deviceId, groupId } = DEVICES[kind];
    if (kind === "audio") {
      const off = { echoCancellation: [false], noiseSuppression: [false], autoGainControl: [false] };
      const rate = { min: AUDIO_RATE, max: AUDIO_RATE };
      return { deviceId, groupId, ...off, channelCount: { min: 1, max: 1 }, sampleRate: rate };
    }
    const { width = 1, height = 1 } = source;
    return {
      deviceId, groupId, facingMode: [FACING], resizeMode: ["none", "crop-and-scale"],
      width: { min: 1, max: width }, height: { min: 1, max: height },
      aspectRatio: { min: 1 / height, max: width }, frameRate: { min: 0, max: MOST_FPS },
    };
  }

  /** Let the browser make the picture as small and slow as asked. Raises: OverconstrainedError. */
  async function adapt(track, constraint) {
    for (let left = ADAPT_TRIES; ; left--) {
      try {
        return await Reflect.apply(applyConstraints, track, [constraint]);
      } catch (error) {
        // Chromium refuses every size of a remote picture that it does not know the frame rate of yet, for some seconds.
        if (!left || track.readyState === "ended") throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, ADAPT_MS));
    }
  }

  /** Take `constraint`: a promise that the picture is as asked. Raises: OverconstrainedError, as for any camera. */
  function constrain(track, constraint) {
    const about = known.get(track);
    const name = impossible(constraint, about.kind) ?? (about.kind === "video" ? beyond(constraint, about.feed.settings()) : null);
    if (name) throw new OverconstrainedError(name, "livehead gives no such picture");
    about.constraints = structuredClone(constraint);
    return adapt(track, adaptable(constraint, about.kind));
  }

  /** For the tracks that are ours; the browser's method for the others. */
  const ours = (name, handle) =>
    replace(MediaStreamTrack.prototype, name, (native, self, args) => {
      const about = known.get(self);
      return about ? handle(native, self, about, args) : native(...args);
    });

  ours("getSettings", (native, self, { kind, feed }) => ({ ...feed.settings(), ...native(), ...identity(kind) }));
  ours("getCapabilities", (native, self, { kind, feed }) => capabilities(kind, feed.settings()));
  ours("getConstraints", (native, self, { constraints }) => structuredClone(constraints));
  ours("applyConstraints", (native, self, about, [constraint]) =>
    Promise.resolve().then(() => constrain(self, constraint ?? {})));
  ours("label", (native, self, { kind }) => DEVICES[kind].label);
  ours("clone", (native, self) => copy(self, native()));
  ours("stop", (native, self, { feed }) => {
    native();
    feed.release(self);
  });
  // It clones its tracks without asking their own clone().
  replace(MediaStream.prototype, "clone", (native, self) => {
    const clone = native();
    for (const kind of Object.keys(DEVICES)) {
      const [before, after] = [self, clone].map((stream) => stream.getTracks().filter((track) => track.kind === kind));
      before.forEach((track, at) => known.has(track) && copy(track, after[at]));
    }
    return clone;
  });

  return { replace, adopt, constrain, capabilities };
})();
