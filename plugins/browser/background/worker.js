// The service worker: answers what the bridges in the pages ask, and tells them what has changed. It may be stopped
// and started at any time, so it keeps nothing in variables.

import { load, protect, sameServer, setViewerKey } from "./settings.js";
import { leave, ready, watch } from "./whep.js";

protect();

const PLACE = "place:"; // in storage.session, before a connection's address: the tab that has it

/** End connections, and no longer know of them. */
async function forget(places) {
  await Promise.all(places.map(leave));
  await chrome.storage.session.remove(places.map((place) => PLACE + place));
}

const ANSWERS = {
  /** Which devices a page is offered. The studio gets none: it would show its own picture to itself. */
  async devices(message, sender) {
    const { server, microphone } = await load();
    if (sameServer(sender.origin, server)) return { camera: false, microphone: false };
    return { camera: true, microphone };
  },
  ready: () => ready(),
  /** `kinds`: what the bridge says the page may have now; what the options keep back is left out here. */
  async watch({ sdp, kinds }, sender) {
    const { camera, microphone } = await ANSWERS.devices({}, sender);
    const given = kinds.filter((kind) => (kind === "video" && camera) || (kind === "audio" && microphone));
    if (!given.length) return { why: "NotAllowedError" };
    const answer = await watch(sdp, given);
    if (answer.place) await chrome.storage.session.set({ [PLACE + answer.place]: sender.tab.id });
    return answer;
  },
  leave: ({ place }) => forget([place]),
  /** The studio has joined, or left (no key). Only the configured server's own page may say so. */
  async studio({ key }, sender) {
    const { server } = await load();
    if (sender.frameId === 0 && sameServer(sender.origin, server)) await setViewerKey(String(key));
  },
};

chrome.runtime.onMessage.addListener((message, sender, reply) => {
  if (!sender.tab || !Object.hasOwn(ANSWERS, message.ask)) return false;
  Promise.resolve(ANSWERS[message.ask](message, sender)).then(
    (answer) => reply(answer ?? {}),
    (error) => reply({ why: String(error) }),
  );
  return true; // the reply comes later
});

/** A closing page's own "leave" does not always get out. */
chrome.tabs.onRemoved.addListener(async (id) => {
  const kept = Object.entries(await chrome.storage.session.get(null));
  await forget(kept.filter(([key, tab]) => key.startsWith(PLACE) && tab === id).map(([key]) => key.slice(PLACE.length)));
});

chrome.storage.onChanged.addListener(async (changes, area) => {
  if (area === "session" && !changes.viewerKey?.newValue) return; // nothing to connect to: the picture stays frozen
  const offered = area === "local" && ("microphone" in changes || "server" in changes);
  const message = { news: offered ? "devices" : "picture" };
  for (const { id } of await chrome.tabs.query({})) {
    chrome.tabs.sendMessage(id, message).catch(() => {}); // tabs without our bridge
  }
});
