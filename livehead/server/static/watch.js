import { Cutout } from "/static/cutout.js";
import { Link } from "/static/link.js";

const video = document.getElementById("avatar");
const message = document.getElementById("message");
const unmute = document.getElementById("unmute");

const wishes = new URLSearchParams(location.search);
const transparent = wishes.get("transparent") === "1";
const key = new URLSearchParams(location.hash.slice(1)).get("key") ?? "";
const link = new Link("viewer", { key, transparent });
const stream = new MediaStream();
const cutout = transparent ? seeThrough(document.getElementById("cutout")) : null;

link.addEventListener("track", ({ detail: track }) => {
  for (const old of stream.getTracks().filter((each) => each.kind === track.kind)) stream.removeTrack(old);
  stream.addTrack(track);
  video.srcObject ??= stream; // not before: a page that waits for an empty stream is never done loading
  if (track.kind === "audio") unmute.hidden = transparent || !video.muted;
});
link.addEventListener("state", ({ detail: state }) => {
  if (state === "connecting again") cutout?.clear();
  message.textContent = transparent || state === "connected" ? "" : state; // nothing that would go on air
});
link.addEventListener("message", ({ detail }) => {
  if (detail.type === "problem") message.textContent = `${detail.problem}: ${detail.remedy}`;
});
unmute.addEventListener("click", () => {
  video.muted = false;
  unmute.hidden = true;
});
link.open();

/** A page for OBS: no ground, no words, and sound only where the address has &sound=1 and the browser lets it. */
function seeThrough(canvas) {
  document.documentElement.classList.add("see-through");
  canvas.hidden = false;
  video.muted = wishes.get("sound") !== "1";
  const join = new Cutout(canvas);
  const next = () => {
    join.draw(video);
    video.requestVideoFrameCallback(next);
  };
  video.requestVideoFrameCallback(next);
  return join;
}
