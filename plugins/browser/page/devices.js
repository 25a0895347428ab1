// livehead among the page's devices: enumerateDevices lists it, getUserMedia gives it to whoever asks for it by its id.
// Every other request goes to the browser as it came.

(() => {
  if (!globalThis.MediaDevices) return; // not a secure page: it gets no devices at all
  const { ask, onNews, Feed } = livehead;
  const { DEVICES, means, impossible, adaptable } = livehead.constraints;
  const { replace, adopt, constrain, capabilities } = livehead.tracks;
  const KINDS = Object.keys(DEVICES);
  const feeds = new Map();
  const had = new Set(); // kinds that this page has got from us: their names are no secret any more

  function feed(kind) {
    if (!feeds.has(kind)) feeds.set(kind, new Feed(kind, () => feeds.delete(kind)));
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
    had.add(kind);
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
    return kinds.length ? mixed(native, constraints, kinds) : native(...args);
  });

  /** As the browser lists a device: all of it, or its kind alone while the page may not know more. */
  function listed(kind, known) {
    const { deviceId, groupId, kind: sort, label } = DEVICES[kind];
    const shown = { deviceId: known ? deviceId : "", kind: sort, label: known ? label : "", groupId: known ? groupId : "" };
    const info = Object.create(InputDeviceInfo.prototype);
    for (const [name, value] of Object.entries(shown)) Object.defineProperty(info, name, { value, enumerable: true });
    Object.defineProperty(info, "toJSON", { value: () => ({ ...shown }) });
    const source = () => feeds.get(kind)?.settings() ?? {};
    Object.defineProperty(info, "getCapabilities", { value: () => (known ? capabilities(kind, source()) : {}) });
    return info;
  }

  replace(MediaDevices.prototype, "enumerateDevices", async (native) => {
    const [devices, offered] = await Promise.all([native(), ask("devices")]);
    for (const kind of KINDS) {
      const { permission, kind: sort } = DEVICES[kind];
      if (!offered[permission]) continue;
      const others = devices.filter((each) => each.kind === sort);
      const known = had.has(kind) || others.some((each) => each.label) || offered.granted.includes(permission);
      if (known || !others.length) devices.push(listed(kind, known));
    }
    return devices;
  });

  onNews((news) => news === "devices" && navigator.mediaDevices.dispatchEvent(new Event("devicechange")));
})();

delete globalThis.livehead;
