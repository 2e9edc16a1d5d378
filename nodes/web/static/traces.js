// What is measured of face and voice: the emotion's name, how likely each is, and the last seconds.

import { $, h, say } from "./dom.js";
import { FACES, glyph, redraw } from "./glyph.js";
import { nodeOf } from "./roles.js";

const SPAN_MS = 20_000;
const GAP_MS = 600; // a longer silence breaks the line
const WORDS_EVERY_MS = 2000; // how often the pictures' descriptions change, for those who hear them
const SOURCES = [
  { id: "face", label: "Face", colour: "--face-line", dash: [] },
  { id: "voice", label: "Voice", colour: "--voice-line", dash: [5, 3] },
];
const COURSES = [
  { id: "valence", label: "Valence", low: -1, ends: ["unpleasant", "pleasant"] },
  { id: "arousal", label: "Arousal", low: -1, ends: ["calm", "excited"] },
  { id: "intensity", label: "Intensity", low: 0, ends: ["none", "full"] },
];

/** @typedef {{emotion: string, probabilities: Record<string, number>, valence: number, arousal: number, intensity: number}|null} Felt */
/** @typedef {{time_ms: number, face: Felt, voice: Felt, both: Felt}} Moment */

export class Traces {
  #moments = /** @type {Moment[]} */ ([]);
  #felt = /** @type {Record<string, any>} */ ({});
  #bars = new Map();
  #courses = /** @type {Array<any>} */ ([]);
  #count = 0;
  #spokenAt = -Infinity;
  #hears = false;

  constructor() {
    for (const { id, label } of [{ id: "both", label: "Together" }, ...SOURCES]) {
      const face = glyph(FACES.neutral);
      const name = h("b", { "data-felt-name": id }, "–");
      this.#felt[id] = { face, name };
      $("felt").append(h("div", { class: "felt-one", "data-felt-source": id },
        h("dt", {}, label), h("dd", {}, face, name)));
    }
    for (const { id, label, ends } of COURSES) {
      const canvas = h("canvas", { role: "img", "aria-label": `${label}: nothing measured yet`, "data-course": id });
      $("courses").append(h("figure", { class: "course" },
        h("figcaption", {}, h("span", {}, label), h("small", {}, `${ends[0]} to ${ends[1]}`)), canvas));
      this.#courses.push(canvas);
    }
    new ResizeObserver(() => this.#draw()).observe($("courses"));
    document.documentElement.dataset.traces = "0";
  }

  /** Whether anything is measured at all, and why not. @param {Record<string, any>} snapshot */
  explain(snapshot) {
    const nodes = snapshot.nodes ?? {};
    $("traces").hidden = !nodes[nodeOf("feeling")] && !this.#moments.length;
    this.#hears = nodes[nodeOf("voice_reader")]?.status?.[0] === "ok";
    const lacking = ["face_reader", "voice_reader", "feeling"]
      .map((role) => nodes[nodeOf(role)]?.status)
      .filter((status) => status && !["ok", "waiting"].includes(status[0]))
      .map((status) => status[1]);
    say($("traces-note"), lacking.length ? `${lacking[0]}${lacking.length > 1 ? ` (and ${lacking.length - 1} more)` : ""}` : "The last 20 seconds of your own face and voice, before anything is changed.");
    $("traces").dataset.lacking = lacking.length ? "yes" : "no";
  }

  /** @param {Moment} moment */
  show(moment) {
    const last = this.#moments[this.#moments.length - 1];
    if (last && moment.time_ms < last.time_ms) this.#moments = []; // another engine, another clock
    this.#moments.push(moment);
    while (this.#moments[0].time_ms < moment.time_ms - SPAN_MS) this.#moments.shift();
    this.#count += 1;
    const data = document.documentElement.dataset;
    data.traces = String(this.#count);
    data.felt = moment.both?.emotion ?? "";
    data.feltFace = moment.face?.emotion ?? "";
    data.feltVoice = moment.voice?.emotion ?? "";
    $("traces").hidden = false;
    for (const id of ["both", "face", "voice"]) {
      const felt = moment[id];
      say(this.#felt[id].name, felt ? felt.emotion : id === "voice" && this.#hears ? "silent" : "–");
      redraw(this.#felt[id].face, FACES[felt?.emotion ?? "neutral"] ?? FACES.neutral);
      this.#felt[id].face.classList.toggle("absent", !felt);
    }
    this.#showBars(moment);
    this.#draw();
    this.#describe(moment);
  }

  #showBars(moment) {
    const names = Object.keys((moment.both ?? moment.face ?? moment.voice)?.probabilities ?? {});
    for (const name of names) {
      if (this.#bars.has(name)) continue;
      const lines = SOURCES.map(({ id }) => h("i", { class: `share share-${id}` }));
      this.#bars.set(name, lines);
      $("felt-bars").append(h("div", { class: "felt-bar", "data-bar": name }, h("span", {}, name), h("div", { class: "shares" }, ...lines)));
    }
    for (const [name, lines] of this.#bars) {
      SOURCES.forEach(({ id }, i) => lines[i].style.setProperty("--share", String(moment[id]?.probabilities[name] ?? 0)));
    }
  }

  #draw() {
    if (document.visibilityState === "hidden") return;
    const style = getComputedStyle(document.documentElement);
    COURSES.forEach(({ id, low }, i) => this.#course(this.#courses[i], style, id, low));
  }

  #course(canvas, style, id, low) {
    const ratio = Math.min(window.devicePixelRatio || 1, 2);
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (!width || !height) return;
    if (canvas.width !== Math.round(width * ratio)) canvas.width = Math.round(width * ratio);
    if (canvas.height !== Math.round(height * ratio)) canvas.height = Math.round(height * ratio);
    const pen = canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    const y = (value) => 3 + (1 - (value - low) / (1 - low)) * (height - 6);
    pen.strokeStyle = style.getPropertyValue("--line");
    pen.lineWidth = 1;
    pen.setLineDash([]);
    pen.beginPath();
    pen.moveTo(0, Math.round(y(0)) + 0.5);
    pen.lineTo(width, Math.round(y(0)) + 0.5);
    pen.stroke();
    const end = this.#moments[this.#moments.length - 1]?.time_ms ?? 0;
    for (const source of SOURCES) {
      pen.strokeStyle = style.getPropertyValue(source.colour);
      pen.lineWidth = 1.8;
      pen.lineJoin = "round";
      pen.setLineDash(source.dash);
      pen.beginPath();
      let before = -Infinity;
      for (const moment of this.#moments) {
        const felt = moment[source.id];
        if (!felt) continue;
        const x = width * (1 - (end - moment.time_ms) / SPAN_MS);
        if (moment.time_ms - before > GAP_MS) pen.moveTo(x, y(felt[id]));
        else pen.lineTo(x, y(felt[id]));
        before = moment.time_ms;
      }
      pen.stroke();
    }
  }

  /** In words, now and then: a picture that changes ten times a second can't be listened to. */
  #describe(moment) {
    const now = performance.now();
    if (now - this.#spokenAt < WORDS_EVERY_MS) return;
    this.#spokenAt = now;
    const told = SOURCES.map(({ id, label }) => {
      const felt = moment[id];
      if (!felt) return `${label}: nothing measured`;
      const likely = Object.entries(felt.probabilities).sort((a, b) => b[1] - a[1]).slice(0, 2);
      return `${label}: ${likely.map(([name, share]) => `${name} ${percent(share)}`).join(", ")}`;
    });
    $("felt-bars").setAttribute("aria-label", told.join(". "));
    COURSES.forEach(({ id, label }, i) => {
      const values = SOURCES.map((source) => {
        const felt = moment[source.id];
        return `${source.label.toLowerCase()} ${felt ? felt[id].toFixed(1) : "unknown"}`;
      });
      this.#courses[i].setAttribute("aria-label", `${label} over the last 20 seconds; now ${values.join(", ")}`);
    });
  }
}

const percent = (share) => `${Math.round(share * 100)} percent`;
