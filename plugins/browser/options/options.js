// The options, and how things stand: in a tab, or behind the extension's button.

import { load, parseAddress, parseLink, save } from "../background/settings.js";
import { ready } from "../background/whep.js";

const $ = (id) => document.getElementById(id);
const LOOK_MS = 1500;

const STATES = {
  "": ["good", "Ready", "Choose the camera “livehead” in your call."],
  server: ["bad", "The server does not answer", "Start it: livehead serve --extension"],
  refused: ["bad", "The server does not know this extension", "Start it with --extension: livehead serve --extension"],
  studio: ["", "The studio has not joined", "Open it and press Join. If it is open already, reload it once."],
  key: ["bad", "There is no viewer's link yet", "Copy it from the studio, under Viewers."],
};

async function look() {
  const { why } = await ready();
  const [kind, title, advice] = STATES[why];
  $("light").className = `light ${kind}`;
  if ($("light").textContent !== title) $("light").textContent = title;
  if ($("advice").textContent !== advice) $("advice").textContent = advice;
}

function chosenShow() {
  return document.querySelector("[name=shows]:checked").value;
}

function showFields() {
  for (const id of ["link", "stream"]) {
    $(id).hidden = chosenShow() !== id;
    $(id).required = !$(id).hidden;
  }
}

async function fill() {
  const chosen = await load();
  for (const id of ["server", "token", "link", "stream"]) $(id).value = chosen[id];
  $("microphone").checked = chosen.microphone;
  document.querySelector(`[name=shows][value=${chosen.shows}]`).checked = true;
  showFields();
}

function say(text, bad = false) {
  $("message").textContent = text;
  $("message").className = bad ? "bad" : "";
}

/** An address may have the token in it, as livehead serve prints it. */
function splitAddress() {
  const address = parseAddress($("server").value);
  if (!address) return null;
  $("server").value = address.server;
  if (address.token) $("token").value = address.token;
  return address.server;
}

/** The browser's leave to talk to that server. It may end this page to ask, so everything is saved by then. */
async function permitted(server) {
  const url = new URL(server);
  const wanted = { origins: [`${url.protocol}//${url.hostname}/*`] };
  return (await chrome.permissions.contains(wanted)) || chrome.permissions.request(wanted);
}

async function submit(event) {
  event.preventDefault();
  const server = splitAddress();
  if (!server) return say("That is no address: it begins with http:// or https://", true);
  const shows = chosenShow();
  const link = parseLink($("link").value);
  if (shows === "link" && !link) return say("That is no viewer's link: it ends with #key=…", true);
  const [token, stream] = [$("token").value.trim(), $("stream").value.trim()];
  await save({ server, token, shows, link: $("link").value.trim(), stream, microphone: $("microphone").checked });
  const allowed = await permitted(shows === "link" ? link.server : server);
  say(allowed ? "Saved." : "Saved, but the browser may not talk to that server.", !allowed);
  return look();
}

$("form").addEventListener("submit", submit);
$("form").addEventListener("change", showFields);
$("server").addEventListener("change", splitAddress);
$("open").addEventListener("click", async () => {
  const { server, token } = await load();
  const { host } = new URL(server);
  const tabs = await chrome.tabs.query({ url: `*://${new URL(server).hostname}/*` });
  const studio = tabs.find(({ url }) => new URL(url).host === host && new URL(url).pathname === "/");
  if (studio) return chrome.tabs.update(studio.id, { active: true });
  return chrome.tabs.create({ url: token ? `${server}/#token=${encodeURIComponent(token)}` : `${server}/` });
});

await fill();
await look();
setInterval(look, LOOK_MS);
