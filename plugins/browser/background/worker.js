// The service worker: answers what the bridges in the pages ask, and tells them what has changed. It may be stopped
// and started at any time, so it keeps nothing in variables.

import { load, protect, sameServer, setViewerKey } from "./settings.js";
import { leave, ready, watch } from "./whep.js";

protect();

const ANSWERS = {
  /** Which devices a page is offered. The studio gets none: it would show its own picture to itself. */
  async devices(message, sender) {
    const { server, microphone } = await load();
    if (sameServer(sender.origin, server)) return { camera: false, microphone: false };
    return { camera: true, microphone };
  },
  ready: () => ready(),
  watch: ({ sdp }) => watch(sdp),
  leave: ({ place }) => leave(place),
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

chrome.storage.onChanged.addListener(async (changes, area) => {
  if (area === "session" && !changes.viewerKey?.newValue) return; // nothing to connect to: the picture stays frozen
  const offered = area === "local" && ("microphone" in changes || "server" in changes);
  const message = { news: offered ? "devices" : "picture" };
  for (const { id } of await chrome.tabs.query({})) {
    chrome.tabs.sendMessage(id, message).catch(() => {}); // tabs without our bridge
  }
});
