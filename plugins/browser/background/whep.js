// Talks to `livehead serve` by WHEP, where a page may not: its CSP and the browser's rules for local networks do not
// hold for an extension that has the host's permission. The media go from the server to the page directly.

import { load, parseLink, setViewerKey, viewerKey } from "./settings.js";

const LIMIT_MS = 5000;
const KINDS_HEADER = "livehead-kinds"; // livehead/server/whip_routes.py reads it

/** Reasons why there is no picture; the words are in page/waiting.js and options/options.js. */
const NO_SERVER = "server";
const REFUSED = "refused"; // serve runs without --extension
const NO_STUDIO = "studio";
const WRONG_KEY = "key";
const BUSY = "busy";

/** Where to ask for the picture, and with which secret: `{ url, key, shows }`; key is "" where there is none yet. */
async function target() {
  const chosen = await load();
  if (chosen.shows === "link") {
    const link = parseLink(chosen.link);
    return { url: new URL("/whep", link?.server ?? chosen.server), key: link?.key ?? "", shows: "link" };
  }
  if (chosen.shows === "stream") {
    const url = new URL(`/whep/${encodeURIComponent(chosen.stream)}`, chosen.server);
    return { url, key: chosen.token, shows: "stream" };
  }
  return { url: new URL("/whep", chosen.server), key: await viewerKey(), shows: "studio" };
}

/** `{ ready, why }`: whether an offer would be worth making. Costs the server next to nothing. */
export async function ready() {
  const { url, key, shows } = await target();
  let answer;
  try {
    answer = await request(url, "OPTIONS", ""); // with which Origin is sent; GET has none, and would prove nothing
  } catch {
    return { ready: false, why: NO_SERVER };
  }
  if (answer.status === 403) return { ready: false, why: REFUSED };
  if (!answer.ok) return { ready: false, why: NO_SERVER };
  if (!key && shows !== "stream") return { ready: false, why: shows === "link" ? WRONG_KEY : NO_STUDIO };
  return { ready: true, why: "" };
}

/**
 * `{ sdp, place }` that answers the offer, or `{ why }`. `place`: what `leave` takes. The server sends what is in
 * `kinds` ("video", "audio") and nothing else, whatever stands in the offer, which is the page's.
 */
export async function watch(offer, kinds) {
  const { url, key, shows } = await target();
  let answer;
  try {
    answer = await request(url, "POST", key, offer, { [KINDS_HEADER]: kinds.join(", ") });
  } catch {
    return { why: NO_SERVER };
  }
  if (answer.status === 201) {
    return { sdp: await answer.text(), place: new URL(answer.headers.get("location"), url).href };
  }
  if (answer.status === 403) return { why: REFUSED };
  if (answer.status === 401 && shows === "studio") {
    await setViewerKey(""); // it was of a session that has ended: asking on would only look like guessing
    return { why: NO_STUDIO };
  }
  return { why: answer.status === 401 ? WRONG_KEY : BUSY };
}

/** End a connection that `watch` made. */
export async function leave(place) {
  const { url, key } = await target();
  const where = new URL(place);
  if (where.origin !== url.origin || !where.pathname.startsWith("/whep/")) return;
  await request(where, "DELETE", key).catch(() => {}); // the server sees by itself that a viewer is gone, only later
}

function request(url, method, key, offer, more = {}) {
  const headers = key ? { ...more, authorization: `Bearer ${key}` } : { ...more };
  if (offer) headers["content-type"] = "application/sdp";
  return fetch(url, {
    method, headers, body: offer, cache: "no-store", credentials: "omit", redirect: "error",
    signal: AbortSignal.timeout(LIMIT_MS),
  });
}
