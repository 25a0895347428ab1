import { Link } from "/static/link.js";

const video = document.getElementById("avatar");
const message = document.getElementById("message");
const unmute = document.getElementById("unmute");

const link = new Link("viewer", { key: new URLSearchParams(location.hash.slice(1)).get("key") ?? "" });
const stream = new MediaStream();

link.addEventListener("track", ({ detail: track }) => {
  for (const old of stream.getTracks().filter((each) => each.kind === track.kind)) stream.removeTrack(old);
  stream.addTrack(track);
  video.srcObject ??= stream; // not before: a page that waits for an empty stream is never done loading
  if (track.kind === "audio") unmute.hidden = !video.muted;
});
link.addEventListener("state", ({ detail: state }) => {
  message.textContent = state === "connected" ? "" : state;
});
link.addEventListener("message", ({ detail }) => {
  if (detail.type === "problem") message.textContent = `${detail.problem}: ${detail.remedy}`;
});
unmute.addEventListener("click", () => {
  video.muted = false;
  unmute.hidden = true;
});
link.open();
