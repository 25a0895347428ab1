// What the person chose (kept on disk), and the viewer key of the studio that is open (kept in memory).
// Neither is ever given to a page or to a content script: pages get a connection's answer, nothing else.

/**
 * server, token: of `livehead serve`. shows: "studio" (the one open in this browser), "link" (of a viewer) or
 * "stream" (one that is published by WHIP under the name in `stream`). microphone: whether it is offered, too.
 */
const DEFAULTS = { server: "http://localhost:8000", token: "", shows: "studio", link: "", stream: "", microphone: true };
const LOOPBACK = ["localhost", "127.0.0.1", "[::1]"];

export async function load() {
  return { ...DEFAULTS, ...(await chrome.storage.local.get(Object.keys(DEFAULTS))) };
}

export async function save(chosen) {
  await chrome.storage.local.set(chosen);
}

/** Content scripts run in the pages' processes, so they may not read what is kept. */
export function protect() {
  chrome.storage.local.setAccessLevel({ accessLevel: "TRUSTED_CONTEXTS" });
}

export async function viewerKey() {
  return (await chrome.storage.session.get("viewerKey")).viewerKey ?? "";
}

export async function setViewerKey(key) {
  await chrome.storage.session.set({ viewerKey: key });
}

/** `{ server, token }` of what livehead serve printed ("http://localhost:8000/#token=..."), or null. */
export function parseAddress(text) {
  const url = parsed(text);
  return url && { server: url.origin, token: fragment(url).get("token") ?? "" };
}

/** `{ server, key }` of a viewer's link ("http://localhost:8000/watch#key=..."), or null. */
export function parseLink(text) {
  const url = parsed(text);
  const key = url && fragment(url).get("key");
  return key ? { server: url.origin, key } : null;
}

/** Whether two origins are one server: a machine has several names for itself. */
export function sameServer(one, other) {
  const [a, b] = [parsed(one), parsed(other)];
  if (!a || !b) return false;
  const host = (url) => (LOOPBACK.includes(url.hostname) ? "loopback" : url.hostname);
  return a.protocol === b.protocol && host(a) === host(b) && a.port === b.port;
}

function parsed(text) {
  try {
    const url = new URL(text.trim());
    return ["http:", "https:"].includes(url.protocol) ? url : null;
  } catch {
    return null;
  }
}

function fragment(url) {
  return new URLSearchParams(url.hash.slice(1));
}
