// Between the page and the service worker, out of the page's reach (isolated world): it decides what a page may have.
//
// A page gets the avatar where the browser lets it use a camera, and the voice where it may use a microphone, by the
// browser's own question and under the browser's own settings. Whatever page/*.js says is the page's word only.
//
// page -> bridge  event "livehead-ask"   { number, ask: "devices" | "permit" | "ready" | "watch" | "leave", ... }
// bridge -> page  event "livehead-tell"  { number, ... } for each, and { news: "devices" | "picture" }
// Details are JSON text, since objects do not pass between worlds.

(() => {
  const NAMES = { camera: "video", microphone: "audio" };
  const permitted = new Set();
  const places = new Set();
  let offered = null; // what the worker offers this page, asked once

  /** null when the page may use the device; else why not: the name of getUserMedia's error. */
  async function refusal(device) {
    const { state } = await navigator.permissions.query({ name: device });
    if (state === "denied") return "NotAllowedError";
    if (state === "granted") return null;
    if (permitted.has(device)) return null;
    try {
      const stream = await navigator.mediaDevices.getUserMedia({ [NAMES[device]]: true }); // the browser asks
      for (const track of stream.getTracks()) track.stop();
      return null;
    } catch (error) {
      // Asked and allowed, but somebody else has the device: the studio, most likely.
      return ["NotReadableError", "AbortError"].includes(error.name) ? null : error.name;
    }
  }

  /** Whether an offer would receive `kind`. */
  function receives(sdp, kind) {
    return sdp.split(/^m=/m).some((part) => part.startsWith(kind) && !/^a=(inactive|sendonly)/m.test(part));
  }

  async function granted() {
    const states = Object.keys(NAMES).map(async (name) => [name, (await navigator.permissions.query({ name })).state]);
    return (await Promise.all(states)).filter(([, state]) => state === "granted").map(([name]) => name);
  }

  const ANSWERS = {
    async devices() {
      offered ??= chrome.runtime.sendMessage({ ask: "devices" });
      return { ...(await offered), granted: await granted() };
    },
    async permit({ device }) {
      const why = Object.hasOwn(NAMES, device) ? await refusal(device) : "TypeError";
      if (why === null) permitted.add(device);
      return { why };
    },
    ready: () => chrome.runtime.sendMessage({ ask: "ready" }),
    async watch({ sdp }) {
      for (const [device, kind] of Object.entries(NAMES)) {
        if (receives(String(sdp), kind) && !permitted.has(device)) return { why: "NotAllowedError" };
      }
      const answer = await chrome.runtime.sendMessage({ ask: "watch", sdp: String(sdp) });
      if (answer.place) places.add(answer.place);
      return answer;
    },
    async leave({ place }) {
      if (places.delete(place)) await chrome.runtime.sendMessage({ ask: "leave", place });
      return {};
    },
  };

  function tell(message) {
    document.dispatchEvent(new CustomEvent("livehead-tell", { detail: JSON.stringify(message) }));
  }

  document.addEventListener("livehead-ask", async (event) => {
    let message = {};
    try {
      message = JSON.parse(event.detail);
      const answer = Object.hasOwn(ANSWERS, message.ask) ? await ANSWERS[message.ask](message) : { why: "TypeError" };
      tell({ ...answer, number: message.number });
    } catch (error) {
      tell({ number: message.number, why: error.name }); // the extension was updated or switched off, for one
    }
  });

  chrome.runtime.onMessage.addListener((message) => {
    if (message.news === "devices") offered = null;
    tell({ news: message.news });
  });
})();
