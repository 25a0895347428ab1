import { Chart } from "/static/chart.js";
import { FaceChooser } from "/static/faces.js";
import { Link } from "/static/link.js";

const $ = (id) => document.getElementById(id);
const CAMERA = { width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { ideal: 30 } };
const SLIDER_MS = 60;

// The token comes behind "#", which is sent to nobody, and leaves the address bar at once.
const given = new URLSearchParams(location.hash.slice(1)).get("token");
if (given) {
  sessionStorage.setItem("token", given);
  history.replaceState(null, "", location.pathname);
}
const link = new Link("studio", { token: sessionStorage.getItem("token") ?? "" });
const chart = new Chart($("chart"));
const faces = new FaceChooser($("faces"), {
  fetchPhoto: () => fetch("/photo", { headers: { authorization: `Bearer ${link.key}` } }),
  choose(face) {
    complain("");
    link.send({ type: "settings", face });
  },
});
const avatarStream = new MediaStream();
let local = null;
let joined = false;
let welcome = null;
const waiting = new Map(); // uploads chosen before joining, by address

const WHY = {
  NotAllowedError: "The browser may not use the camera or microphone. Allow both for this page (the icon beside its address), then join again.",
  NotFoundError: "There is no such camera or microphone. Plug one in or choose another, then join again.",
  OverconstrainedError: "That camera or microphone is gone. Choose another one, then join again.",
  NotReadableError: "Another program uses the camera or microphone. Close it, then join again.",
  AbortError: "The camera or microphone could not be started. Plug it in anew, then join again.",
};

function say(text) {
  $("message").textContent = text;
}

function complain(text) {
  $("problem").textContent = text;
}

// ---- devices

async function capture() {
  const camera = $("camera").value;
  const microphone = $("microphone").value;
  const video = camera ? { ...CAMERA, deviceId: { exact: camera } } : CAMERA;
  const chosen = microphone ? { deviceId: { exact: microphone } } : {};
  const audio = microphone === "none" ? false : { ...chosen, echoCancellation: true, noiseSuppression: true };
  if (!navigator.mediaDevices) {
    throw new Error("This page may not use cameras because it did not come by https. Open it by https or from this very machine.");
  }
  try {
    return await navigator.mediaDevices.getUserMedia({ video, audio });
  } catch (error) {
    if (!audio || error.name === "NotAllowedError") throw error;
    const silent = await navigator.mediaDevices.getUserMedia({ video, audio: false });
    complain("There is no microphone that can be used: the avatar moves, but stays silent.");
    return silent;
  }
}

async function listDevices() {
  const devices = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
  for (const [id, kind, name] of [["camera", "videoinput", "Camera"], ["microphone", "audioinput", "Microphone"]]) {
    const select = $(id);
    const before = select.value;
    for (const option of [...select.options]) if (option.dataset.device) option.remove();
    devices.filter((each) => each.kind === kind && each.deviceId).forEach((each, at) => {
      const option = new Option(each.label || `${name} ${at + 1}`, each.deviceId);
      option.dataset.device = "yes";
      select.add(option);
    });
    select.value = [...select.options].some((option) => option.value === before) ? before : "";
  }
}

function show(stream) {
  local?.getTracks().forEach((track) => track.stop());
  local = stream;
  $("self").srcObject = stream;
  $("self").hidden = !stream;
  for (const track of stream?.getVideoTracks() ?? []) {
    track.contentHint = "motion";
    track.onended = () => complain("The camera is gone. Plug it in again or choose another one.");
  }
}

async function changeDevices() {
  if (!joined) return;
  try {
    show(await capture());
    await link.replace(local.getTracks());
    complain("");
  } catch (error) {
    complain(WHY[error.name] ?? error.message);
  }
}

// ---- joining

async function join() {
  $("join").disabled = true;
  complain("");
  say("");
  try {
    show(await capture());
    joined = true;
    await listDevices();
    $("join").textContent = "Leave";
    await link.open(local.getTracks());
  } catch (error) {
    complain(WHY[error.name] ?? error.message);
  }
  $("join").disabled = false;
}

function leave() {
  joined = false;
  link.close();
  link.key = "";
  show(null);
  welcome = null;
  $("join").textContent = "Join";
  $("hint").hidden = false;
  for (const track of avatarStream.getTracks()) avatarStream.removeTrack(track);
  enable(false);
  $("link").value = "";
  faces.show([], 1);
  $("advice").textContent = "";
  tellExtension("");
}

/** For the browser extension, which shows this session's avatar to pages that ask for a camera; "" when it is over. */
function tellExtension(viewerKey) {
  document.dispatchEvent(new CustomEvent("livehead-session", { detail: viewerKey }));
}

function enable(on) {
  for (const id of ["freeze", "calibrate", "record", "copy"]) $(id).disabled = !on;
}

link.addEventListener("track", ({ detail: track }) => {
  for (const old of avatarStream.getTracks().filter((each) => each.kind === track.kind)) avatarStream.removeTrack(old);
  avatarStream.addTrack(track);
  $("avatar").srcObject ??= avatarStream; // not before: a page that waits for an empty stream is never done loading
});

link.addEventListener("state", ({ detail: state }) => {
  const badge = $("connection");
  badge.textContent = state;
  badge.className = `badge ${state === "connected" ? "good" : ["failed", "refused"].includes(state) ? "bad" : ""}`;
  if (state === "connected") $("hint").hidden = true;
});

const RECEIVE = {
  welcome(message) {
    welcome = message;
    enable(true);
    fill("driver", message.drivers, { face: "face", voice: "voice", "face+voice": "both", idle: "nobody" });
    fill("model", message.models, {});
    $("drivers").hidden = message.drivers.length < 2;
    $("models").hidden = message.models.length < 2;
    $("consent").textContent = message.consent;
    tellExtension(message.viewer_key);
    showChosen(message.chosen);
    for (const [address, [file, doing]] of waiting) upload(address, file, doing);
    waiting.clear();
  },
  state(message) {
    if (!message.busy) showChosen(message.chosen); // what was just chosen is still being made
    press("freeze", message.frozen);
    press("record", message.recording);
    $("frozen").hidden = !message.frozen;
    $("recording").hidden = !message.recording;
    say(message.busy ? "One moment: the avatar is made anew." : "");
    const hints = $("hints");
    if (!message.busy) faces.show(message.faces, message.face);
    hints.hidden = !message.hints.length;
    hints.replaceChildren(...message.hints.map((hint) => Object.assign(document.createElement("li"), { textContent: hint })));
  },
  async figures(message) {
    const own = await link.figures();
    if (!own || !joined) return;
    link.send({ type: "playout", sound_later_ms: Math.min(Math.max(own.sound - own.wait - own.decode, 0), 1000) });
    const latency = own.encode + own.network + message.total_ms + own.wait + own.decode;
    const texts = {
      latency: `${latency.toFixed(0)} ms`,
      fps: `${own.fps || message.fps} (camera ${message.camera_fps})`,
      driver_ms: `${message.driver_ms} ms`,
      render_ms: `${message.render_ms} ms at ${message.render_size} px`,
      encode_ms: `${(message.encode_ms + own.encode).toFixed(1)} ms`,
      network: `${own.network.toFixed(0)} ms`,
      bitrate: `${(message.bitrate / 1e6).toFixed(1)} Mbit/s`,
      receivers: `${Math.max(message.receivers - 1, 0)}`,
    };
    for (const [id, text] of Object.entries(texts)) $(id).textContent = text;
    document.dispatchEvent(new CustomEvent("livehead-figures", { detail: { server: message, own, latency } }));
    chart.add(latency, own.fps || message.fps);
    const advice = $("driver").value === "idle" ? "" : message.advice;
    $("advice").textContent = advice && `${advice[0].toUpperCase()}${advice.slice(1)}.`;
  },
  recording(message) {
    say(`Recorded ${message.seconds} s.`);
    fetchRecording();
  },
  problem(message) {
    complain(`${message.problem}${message.remedy ? `: ${message.remedy}` : ""}.`);
    if (message.fatal) leave();
  },
};
link.addEventListener("message", ({ detail }) => RECEIVE[detail.type]?.(detail));

// ---- settings

function fill(id, names, words) {
  $(id).replaceChildren(...names.map((name) => new Option(words[name] ?? name, name)));
}

function press(id, on) {
  $(id).setAttribute("aria-pressed", String(on));
}

function pressed(id) {
  return $(id).getAttribute("aria-pressed") === "true";
}

function showChosen(chosen) {
  $("driver").value = chosen.driver;
  $("model").value = chosen.model;
  $("badge").checked = chosen.badge;
  const colour = chosen.background.startsWith("#");
  if (colour) $("colour").value = chosen.background;
  $("background").value = colour ? "colour" : chosen.background;
  showBackground();
  for (const slider of $("gains").querySelectorAll("input")) {
    if (document.activeElement !== slider) setSlider(slider, chosen.gains[slider.name]);
  }
}

function setSlider(slider, value) {
  slider.value = value;
  slider.nextElementSibling.textContent = Number(value).toFixed(1);
}

function showBackground() {
  const see = $("background").value === "none" ? "?transparent=1" : "";
  $("link").value = welcome ? `${location.origin}/watch${see}#key=${welcome.viewer_key}` : "";
  $("colours").hidden = $("background").value !== "colour";
  $("images").hidden = $("background").value !== "image";
}

function sendBackground() {
  showBackground();
  const value = $("background").value;
  if (value === "image") return; // it is chosen once there is one
  link.send({ type: "settings", background: value === "colour" ? $("colour").value : value });
}

let sliding = 0;
function sendGains() {
  clearTimeout(sliding);
  sliding = setTimeout(() => {
    const gains = {};
    for (const slider of $("gains").querySelectorAll("input")) gains[slider.name] = Number(slider.value);
    link.send({ type: "settings", gains });
  }, SLIDER_MS);
}

async function upload(address, file, doing) {
  complain("");
  if (!file) return;
  if (!welcome) {
    waiting.set(address, [file, doing]);
    say(`${file.name} is used as soon as you join.`);
    return;
  }
  if (file.size > welcome.most_upload_bytes) {
    complain(`That file has more than ${welcome.most_upload_bytes / 1e6} MB: save a smaller copy.`);
    return;
  }
  say(doing);
  try {
    const headers = { authorization: `Bearer ${link.key}` };
    const answer = await fetch(address, { method: "PUT", body: file, headers });
    const told = await answer.json();
    say("");
    if (!answer.ok) complain(`${told.problem}${told.remedy ? `: ${told.remedy}` : ""}.`);
  } catch {
    say("");
    complain("The server cannot be reached. Is livehead serve still running?");
  }
}

async function fetchRecording() {
  const answer = await fetch("/recording", { headers: { authorization: `Bearer ${link.key}` } });
  if (!answer.ok) return;
  URL.revokeObjectURL($("file").href);
  $("file").href = URL.createObjectURL(await answer.blob());
  $("download").hidden = false;
  $("file").click();
}

// ---- what the person does

$("join").addEventListener("click", () => (joined ? leave() : join()));
$("freeze").addEventListener("click", () => link.send({ type: "freeze", on: !pressed("freeze") }));
$("calibrate").addEventListener("click", () => {
  link.send({ type: "calibrate" });
  say("Look into the camera, mouth closed, for two seconds.");
});
$("record").addEventListener("click", () => link.send({ type: "record", on: !pressed("record") }));
$("mirror").addEventListener("click", () => {
  press("mirror", !pressed("mirror"));
  mirror();
});
function mirror() {
  for (const id of ["self", "avatar"]) $(id).classList.toggle("mirrored", pressed("mirror"));
}
mirror();

$("camera").addEventListener("change", changeDevices);
$("microphone").addEventListener("change", changeDevices);
$("listen").addEventListener("change", () => ($("avatar").muted = !$("listen").checked));
$("driver").addEventListener("change", () => link.send({ type: "settings", driver: $("driver").value }));
$("model").addEventListener("change", () => link.send({ type: "settings", model: $("model").value }));
$("badge").addEventListener("change", () => link.send({ type: "settings", badge: $("badge").checked }));
$("background").addEventListener("change", sendBackground);
$("colour").addEventListener("change", sendBackground);
$("photo").addEventListener("change", () => upload("/photo", $("photo").files[0], "Looking for the face."));
$("backdrop").addEventListener("change", () => upload("/backdrop", $("backdrop").files[0], "Putting the image behind the avatar."));
$("gains").addEventListener("input", ({ target }) => {
  setSlider(target, target.value);
  sendGains();
});
$("copy").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText($("link").value);
    say("The link is copied.");
  } catch {
    $("link").select();
    say("Press Ctrl-C to copy the link.");
  }
});

const drop = $("drop");
drop.addEventListener("dragover", (event) => {
  event.preventDefault();
  drop.classList.add("over");
});
drop.addEventListener("dragleave", () => drop.classList.remove("over"));
drop.addEventListener("drop", (event) => {
  event.preventDefault();
  drop.classList.remove("over");
  upload("/photo", event.dataTransfer.files[0], "Looking for the face.");
});

const KEYS = { f: "freeze", c: "calibrate", r: "record", m: "mirror" };
addEventListener("keydown", (event) => {
  const typing = event.target.matches("input:not([type=range]):not([type=checkbox]), select, textarea");
  const id = KEYS[event.key.toLowerCase()];
  if (!id || typing || event.ctrlKey || event.metaKey || event.altKey || $(id).disabled) return;
  event.preventDefault();
  $(id).click();
});
addEventListener("pagehide", () => link.close());
navigator.mediaDevices?.addEventListener("devicechange", listDevices);
document.querySelector("form").addEventListener("submit", (event) => event.preventDefault());
listDevices();
