// The rater's page: who they are, one clip after the other, each choice sent at once.

import { $, h, say } from "./dom.js";
import { themes } from "./theme.js";

const LETTERS = "ABCDEFGH";
const AGAIN_MS = 2000;
const page = document.documentElement;
let study = null; // what the server says of the study and of this rater
let place = 0;
let unsaved = 0; // choices on their way

/** Ask the server; what is sent arrives though the page is closed. @returns {Promise<{status: number, body: any}>} */
async function ask(path, body) {
  const options = body && { method: "POST", keepalive: true, headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  const answer = await fetch(path, options);
  const text = await answer.text();
  return { status: answer.status, body: answer.ok ? JSON.parse(text) : text.trim() };
}

async function load() {
  const { status, body } = await ask("/study");
  if (status !== 200) return say($("say"), body);
  study = body;
  document.title = study.title;
  say($("title"), study.title);
  say($("count"), study.clips === 1 ? "one scene" : `${study.clips} scenes`);
  if (!study.trials) return show("welcome");
  const open = study.trials.findIndex((trial) => !done(trial));
  if (open < 0) return show("thanks");
  goTo(open);
}

const done = (trial) => study.questions.every(({ key }) => key in trial.votes);

function show(name) {
  for (const id of ["welcome", "trial", "thanks"]) $(id).hidden = id !== name;
  page.dataset.page = name;
  progress();
  if (name === "welcome") $("name").focus();
  else scrollTo(0, 0);
}

function progress() {
  const trials = study.trials ?? [];
  const finished = trials.filter(done).length;
  $("bar").hidden = !trials.length;
  $("bar").value = trials.length ? finished / trials.length : 0;
  say($("progress"), trials.length ? `${finished} of ${trials.length} done` : "");
}

async function enter(again) {
  const name = $("name").value.trim();
  if (!name) return;
  const { status, body } = await ask("/rater", { name, again });
  $("taken").hidden = status !== 409;
  if (status === 409) $("again").focus();
  else if (status !== 200) say($("say"), body);
  else {
    say($("say"), "");
    await load();
  }
}

/** Show a clip, the pictures first, then what was said of it. */
function goTo(next) {
  place = next;
  const trial = study.trials[place];
  const slots = Object.keys(trial.films);
  const made = slots.filter((slot) => /^\d+$/.test(slot));
  const tiles = (names) => names.map((slot) => tile(trial, slot));
  $("given").replaceChildren(...tiles(["source", "reference"]));
  $("made").replaceChildren(...tiles(made));
  $("made").style.setProperty("--columns", made.length);
  const films = slots.some((slot) => trial.films[slot]);
  document.querySelector(".films").hidden = !films;
  $("sound").hidden = !trial.films.source;
  $("questions").replaceChildren(...study.questions.map((question) => asked(trial, question, made)));
  $("back").disabled = place === 0;
  say($("next"), place + 1 === study.trials.length ? "Finish" : "Next");
  ready();
  hear(false);
  show("trial");
}

function tile(trial, slot) {
  const name = /^\d+$/.test(slot) ? LETTERS[slot] : slot[0].toUpperCase() + slot.slice(1);
  const src = `/media/${trial.id}/${slot}`;
  const shown = trial.films[slot]
    ? h("video", { src, autoplay: true, loop: true, playsinline: true, muted: true, preload: "auto" })
    : h("img", { src, alt: name });
  if (shown instanceof HTMLVideoElement) shown.muted = true;
  const button = h("button", { type: "button", "aria-label": `Enlarge ${name}`, onclick: () => enlarge(shown) }, shown);
  shown.addEventListener("error", () => {
    button.replaceChildren(h("p", { class: "missing" }, "This can't be shown here. Please tell whoever runs the study."));
  });
  return h("figure", { class: "tile", "data-slot": slot }, button, h("figcaption", {}, name));
}

function enlarge(shown) {
  const copy = shown.cloneNode();
  if (copy instanceof HTMLVideoElement) {
    copy.muted = true;
    copy.currentTime = shown.currentTime;
  }
  $("large").replaceChildren(copy);
  $("large").showModal();
}

function asked(trial, { key, text }, made) {
  const choices = made.map((slot) => {
    const input = h("input", { type: "radio", name: key, value: slot, checked: trial.votes[key] === Number(slot) });
    input.addEventListener("change", () => vote(trial, key, Number(slot)));
    return h("label", {}, input, LETTERS[slot]);
  });
  return h("fieldset", { "data-question": key }, h("legend", {}, text), h("div", { class: "choices" }, ...choices));
}

/** Keep a choice; tried again until the server has it or a newer one takes its place. */
async function vote(trial, question, choice) {
  trial.votes[question] = choice;
  unsaved += 1;
  ready();
  while (trial.votes[question] === choice) {
    const answer = await ask("/vote", { trial: trial.id, question, choice }).catch(() => null);
    if (answer?.status === 200) break;
    say($("say"), answer?.body ?? "Not kept yet: the study's computer doesn't answer. It is tried again.");
    await new Promise((over) => setTimeout(over, AGAIN_MS));
  }
  unsaved -= 1;
  if (!unsaved) say($("say"), "");
  ready();
  progress();
}

function ready() {
  $("next").disabled = unsaved > 0 || !done(study.trials[place]);
  page.dataset.kept = String(!unsaved);
}

function films() {
  return [...document.querySelectorAll(".tile video")];
}

function replay() {
  for (const film of films()) {
    film.currentTime = 0;
    film.play().catch(() => {}); // one that can't be played says so in its tile
  }
}

function hear(on) {
  const source = document.querySelector('[data-slot="source"] video');
  if (source) source.muted = !on;
  $("sound").setAttribute("aria-pressed", String(on));
}

$("enter").addEventListener("submit", (event) => {
  event.preventDefault();
  enter(false);
});
$("again").addEventListener("click", () => enter(true));
$("other").addEventListener("click", () => {
  $("taken").hidden = true;
  $("name").value = "";
  $("name").focus();
});
$("back").addEventListener("click", () => goTo(place - 1));
$("next").addEventListener("click", () => (place + 1 < study.trials.length ? goTo(place + 1) : load()));
$("revise").addEventListener("click", () => goTo(0));
$("replay").addEventListener("click", replay);
$("sound").addEventListener("click", () => {
  hear($("sound").getAttribute("aria-pressed") !== "true");
  replay();
});
$("large").addEventListener("click", () => $("large").close());
$("large").addEventListener("close", () => $("large").replaceChildren());
addEventListener("beforeunload", (event) => unsaved && event.preventDefault());
themes();
load().catch(() => say($("say"), "The study's computer doesn't answer; load the page again."));
