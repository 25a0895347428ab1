// Between the page and the service worker, out of the page's reach (isolated world): it decides what a page may have.
//
// A page gets the avatar where the browser lets it use a camera, and the voice where it may use a microphone, by the
// browser's own question and under the browser's own settings. Whatever page/*.js says is the page's word only, and its
// offer is not looked at here: the server reads it with a parser of its own. The bridge says which kinds the page may
// have now, and the server sends no others, whatever the offer holds. A page without leave gets no answer at all, so
// it does not learn that the extension is there.
//
// page -> bridge  event "livehead-ask"   { number, ask: "devices" | "permit" | "ready" | "watch" | "leave", ... }
// bridge -> page  event "livehead-tell"  { number, ... } for each, and { news: "devices" | "picture" | "revoked", ... }
// Details are JSON text, since objects do not pass between worlds.

(() => {
  const KINDS = { camera: "video", microphone: "audio" };
  const DEVICES = Object.keys(KINDS);
  const SILENCE = null; // in place of an answer
  const places = new Map(); // a connection's address -> the devices whose leave it hangs on
  let offered = null; // what the worker offers this page, asked once

  const leaveFor = (device) => navigator.permissions.query({ name: device });

  /** The devices that the browser lets this page use at this moment. */
  async function granted() {
    const states = await Promise.all(DEVICES.map(async (device) => (await leaveFor(device)).state));
    return DEVICES.filter((_, at) => states[at] === "granted");
  }

  /** null when the page may use the device, once the browser has asked the person if it has to; else the error's name. */
  async function refusal(device) {
    let name = "NotAllowedError";
    if ((await leaveFor(device)).state === "prompt") {
      try {
        const stream = await navigator.mediaDevices.getUserMedia({ [KINDS[device]]: true });
        for (const track of stream.getTracks()) track.stop();
      } catch (error) {
        name = error.name; // leave may be given all the same: somebody else has the device, the studio most likely
      }
    }
    return (await leaveFor(device)).state === "granted" ? null : name;
  }

  async function end(place) {
    if (places.delete(place)) await chrome.runtime.sendMessage({ ask: "leave", place });
  }

  /** What a page is answered that may use `leave`, devices of which there is at least one. */
  const ANSWERS = {
    async devices(message, leave) {
      offered ??= chrome.runtime.sendMessage({ ask: "devices" });
      const all = await offered;
      return Object.fromEntries(DEVICES.map((device) => [device, Boolean(all[device]) && leave.includes(device)]));
    },
    ready: () => chrome.runtime.sendMessage({ ask: "ready" }),
    /** `devices`: those that the page wants, which may only be fewer than it has leave for. */
    async watch({ sdp, devices }, leave) {
      const wanted = leave.filter((device) => !Array.isArray(devices) || devices.includes(device));
      if (!wanted.length) return SILENCE;
      const kinds = wanted.map((device) => KINDS[device]);
      const answer = await chrome.runtime.sendMessage({ ask: "watch", sdp: String(sdp), kinds });
      if (!answer.place) return answer;
      places.set(answer.place, wanted);
      const still = await granted(); // it may have been taken away while the server was asked
      if (wanted.every((device) => still.includes(device))) return answer;
      await end(answer.place);
      return SILENCE;
    },
    async leave({ place }) {
      await end(place);
      return {};
    },
  };

  async function answer(message) {
    const leave = await granted();
    if (message.ask === "permit") {
      if (!Object.hasOwn(KINDS, message.device)) return SILENCE;
      if ((await leaveFor(message.device)).state === "denied") return SILENCE;
      return { why: await refusal(message.device) };
    }
    if (!leave.length || !Object.hasOwn(ANSWERS, message.ask)) return SILENCE;
    try {
      return await ANSWERS[message.ask](message, leave);
    } catch (error) {
      return { why: error.name }; // the extension was updated or switched off, for one
    }
  }

  function tell(message) {
    document.dispatchEvent(new CustomEvent("livehead-tell", { detail: JSON.stringify(message) }));
  }

  function parsed(detail) {
    try {
      return Object(JSON.parse(detail));
    } catch {
      return {};
    }
  }

  document.addEventListener("livehead-ask", async (event) => {
    const message = parsed(event.detail);
    const told = await answer(message);
    if (told !== SILENCE) tell({ ...told, number: message.number });
  });

  /** When leave is taken away, what was given on it ends at once. */
  async function watchLeave(device) {
    const status = await leaveFor(device);
    status.addEventListener("change", () => {
      if (status.state === "granted") return;
      for (const [place, devices] of [...places]) if (devices.includes(device)) end(place).catch(() => {});
      tell({ news: "revoked", device });
    });
    return status;
  }

  // kept, as the browser need not tell of a change to what nobody holds
  const watched = DEVICES.map(watchLeave);

  chrome.runtime.onMessage.addListener((message) => {
    if (message.news === "devices") offered = null;
    Promise.all([...watched, granted()]).then((all) => all.at(-1).length && tell({ news: message.news }));
  });
})();
