// Which device do constraints ask for? (W3C "Media Capture and Streams", section 11: a value stands for itself, for
// a list of equally good ones, or in { exact, ideal }.) No I/O.

livehead.constraints = (() => {
  const GROUP = "livehead";
  const DEVICES = {
    video: { deviceId: "livehead-camera", groupId: GROUP, kind: "videoinput", label: "livehead", permission: "camera" },
    audio: {
      deviceId: "livehead-microphone", groupId: GROUP, kind: "audioinput", label: "livehead microphone",
      permission: "microphone",
    },
  };
  /** What no adaptation changes, and so is decided here and not by the browser. */
  const FIXED = { video: ["deviceId", "groupId", "facingMode"], audio: ["deviceId", "groupId"] };
  const FACING = "user";
  const MOST_FPS = 30;

  const list = (value) => (value === undefined || value === null ? [] : [].concat(value));

  /** `{ exact, ideal }`, lists both, of a constraint's value in any of its spellings. */
  function spelled(value) {
    if (typeof value === "object" && value !== null && !Array.isArray(value)) {
      return { exact: list(value.exact), ideal: list(value.ideal) };
    }
    return { exact: [], ideal: list(value) };
  }

  /** Whether `constraint` (of one kind) means livehead's device: what has to be it, or first of all would be. */
  function means(constraint, kind) {
    if (typeof constraint !== "object" || constraint === null) return false;
    const { deviceId, groupId } = DEVICES[kind];
    const chosen = (value, own) => {
      const { exact, ideal } = spelled(value);
      return exact.length ? exact[0] === own : ideal[0] === own;
    };
    // The group has camera and microphone in it, but no two of a kind.
    const otherDevice = spelled(constraint.deviceId).exact.length > 0 && !chosen(constraint.deviceId, deviceId);
    return !otherDevice && (chosen(constraint.deviceId, deviceId) || chosen(constraint.groupId, groupId));
  }

  /** The name of a constraint that asks for more than `source` (settings of what comes from the server) has, or null. */
  function beyond(constraint, source) {
    const most = { width: source.width, height: source.height, frameRate: MOST_FPS };
    const asksMore = (name) => {
      const { exact, min } = typeof constraint?.[name] === "object" ? constraint[name] : {};
      return Math.max(exact ?? 0, min ?? 0) > (most[name] ?? Infinity);
    };
    return Object.keys(most).find(asksMore) ?? null;
  }

  /** The name of a constraint that livehead's device can never satisfy, or null. */
  function impossible(constraint, kind) {
    const own = { ...DEVICES[kind], facingMode: FACING };
    const unmet = (name) => {
      const { exact } = spelled(constraint?.[name]);
      return exact.length > 0 && !exact.includes(own[name]);
    };
    return FIXED[kind].find(unmet) ?? null;
  }

  /** `constraint` without what the browser would compare with its own devices. */
  function adaptable(constraint, kind) {
    if (typeof constraint !== "object" || constraint === null) return {};
    const rest = { ...constraint };
    delete rest.aspectRatio; // alone, it makes Chromium cut a remote picture down to two pixels
    for (const name of FIXED[kind]) delete rest[name];
    return rest;
  }

  return { DEVICES, FACING, MOST_FPS, means, impossible, beyond, adaptable };
})();
