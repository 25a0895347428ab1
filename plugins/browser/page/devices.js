// livehead among the page's devices: enumerateDevices lists it, getUserMedia gives it to whoever asks for it by its id.
// Every other request goes to the browser as it came.

(() => {
  if (!globalThis.MediaDevices) return; // not a secure page: it gets no devices at all
  const { ask, onNews, Feed } = livehead;
  const { DEVICES, means, impossible, adaptable } = livehead.constraints;
  const { replace, adopt, constrain, capabilities } = livehead.tracks;
  const KINDS = Object.keys(DEVICES);
  const feeds = new Map();
  const { query } = Permissions.prototype; // kept, as a page may put its own in place
  const { permissions } = navigator;

  /** "granted", "prompt" or "denied": what the browser says of a kind. The bridge asks by itself, and it decides. */
  async function leave(kind) {
    return (await Reflect.apply(query, permissions, [{ name: DEVICES[kind].permission }])).state;
  }

  /** Those of `kinds` that the browser says of what `is` takes. */
  async function whose(kinds, is) {
    const states = await Promise.all(kinds.map(leave));
    return kinds.filter((_, at) => is(states[at]));
  }

  function feed(kind) {
    if (!feeds.has(kind)) feeds.set(kind, new Feed(kind, DEVICES[kind].permission, () => feeds.delete(kind)));
    return feeds.get(kind);
  }

  const REASONS = {
    NotAllowedError: "Permission denied",
    NotFoundError: "livehead: this computer has no device to ask about. Allow it in the page's settings, beside its address",
  };

  /** One track of livehead. Raises: what getUserMedia raises. */
  async function open(kind, constraint) {
    const name = impossible(constraint, kind);
    if (name) throw new OverconstrainedError(name, "livehead has no such device");
    const { why } = await ask("permit", { device: DEVICES[kind].permission });
    if (why) throw new DOMException(REASONS[why] ?? `livehead: ${why}`, "NotAllowedError");
    const source = feed(kind);
    const track = adopt(await source.track(), kind, source);
    try {
      constrain(track, constraint).catch(() => {}); // the camera is not held up for it
    } catch (error) {
      track.stop();
      throw error;
    }
    return track;
  }

  /** The browser's stream with our tracks in it; `kinds` are ours. */
  async function mixed(native, constraints, kinds) {
    const rest = { ...constraints };
    for (const kind of kinds) delete rest[kind];
    const stream = rest.video || rest.audio ? await native(rest) : new MediaStream();
    const opened = await Promise.allSettled(kinds.map((kind) => open(kind, constraints[kind])));
    for (const { value } of opened) if (value) stream.addTrack(value);
    const failed = opened.find(({ status }) => status === "rejected");
    if (!failed) return stream;
    for (const track of stream.getTracks()) track.stop();
    throw failed.reason;
  }

  replace(MediaDevices.prototype, "getUserMedia", (native, self, args) => {
    const [constraints] = args;
    const kinds = KINDS.filter((kind) => means(constraints?.[kind], kind));
    if (!kinds.length) return native(...args);
    // a page that may use no device is answered as if there were no extension
    return whose(kinds, (state) => state !== "denied").then((ours) =>
      ours.length ? mixed(native, constraints, ours) : native(...args));
  });

  /** As the browser lists a device that the page may use. */
  function listed(kind) {
    const { deviceId, groupId, kind: sort, label } = DEVICES[kind];
    const shown = { deviceId, kind: sort, label, groupId };
    const info = Object.create(InputDeviceInfo.prototype);
    for (const [name, value] of Object.entries(shown)) Object.defineProperty(info, name, { value, enumerable: true });
    Object.defineProperty(info, "toJSON", { value: () => ({ ...shown }) });
    const source = () => feeds.get(kind)?.settings() ?? {};
    Object.defineProperty(info, "getCapabilities", { value: () => capabilities(kind, source()) });
    return info;
  }

  replace(MediaDevices.prototype, "enumerateDevices", async (native) => {
    const kinds = await whose(KINDS, (state) => state === "granted");
    const [devices, offered] = await Promise.all([native(), kinds.length ? ask("devices") : {}]);
    for (const kind of kinds) if (offered[DEVICES[kind].permission]) devices.push(listed(kind));
    return devices;
  });

  onNews((news) => news === "devices" && navigator.mediaDevices.dispatchEvent(new Event("devicechange")));
})();

delete globalThis.livehead;
