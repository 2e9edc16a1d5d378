// The expression panel: what the face becomes, which emotion, how strongly.

import { $, check, h, radioKeys, say } from "./dom.js";
import { FACES, HUES, glyph, near } from "./glyph.js";
import { feelingPad, words } from "./pad.js";
import { nodeOf } from "./roles.js";

// Each way, the words for it, and the editor's mode that makes it.
const MODES = [
  { id: "off", mode: "off", label: "As I am", text: "Your face as it is." },
  { id: "wear", mode: "emotion", label: "Wear", text: "Wear one emotion, as strongly as you like." },
  { id: "pad", mode: "valence_arousal", label: "Pad", text: "Drag to any feeling between them." },
  { id: "like", mode: "reference", label: "Like this", text: "Drop, paste or choose a picture or a clip of a face: yours wears its expression." },
  { id: "scale", mode: "scale", label: "More or less of me", text: "Your own expression, weaker or stronger." },
  { id: "voice", mode: "voice", label: "Follow my voice", text: "The face shows what your voice feels, as strongly as you say it." },
];
const SLIDERS = {
  neutral: { name: "neutralize", label: "Remove my own" },
  wear: { name: "intensity", label: "Intensity" },
  like: { name: "reference_gain", label: "Intensity" },
  scale: { name: "scale", label: "My expression" },
  voice: { name: "voice_gain", label: "Strength" },
};

export class MoodPanel {
  /** @param {import("./parameters.js").Parameters} parameters */
  constructor(parameters) {
    this.parameters = parameters;
    this.#build();
    parameters.addEventListener("change", () => this.show());
    parameters.addEventListener("refused", (event) => {
      const { node, line } = /** @type {CustomEvent} */ (event).detail;
      if (node === this.#node) say($("face-error"), line);
    });
    this.show();
  }

  /** The engine's node that decides what the face becomes. */
  get #node() {
    return nodeOf("editor");
  }

  /** The mode's id on this page, "" before the engine told. */
  get mode() {
    return MODES.find(({ mode }) => mode === this.#value("mode"))?.id ?? "";
  }

  /** What the slider changes: of who wears nothing, how much of the own feeling goes. */
  get #slider() {
    return SLIDERS[this.mode === "wear" && this.#value("emotion") === "neutral" ? "neutral" : this.mode];
  }

  /** @param {string} id off, wear, pad, like, scale or voice */
  setMode(id) {
    const { mode } = MODES.find((each) => each.id === id);
    if (this.#offers(mode)) this.parameters.set(this.#node, "mode", mode);
  }

  /** Wear this emotion now. */
  wear(emotion) {
    this.parameters.set(this.#node, "emotion", emotion);
    if (this.#value("mode") !== "emotion") this.parameters.set(this.#node, "mode", "emotion");
  }

  /** One of the eight, by place. */
  wearNth(n) {
    const name = this.emotions[n];
    if (name) this.wear(name);
  }

  /** Whether the voice can be followed, and why not. @param {Record<string, any>} snapshot */
  explain(snapshot) {
    const node = snapshot.nodes?.[nodeOf("voice_reader")];
    const why = !snapshot.nodes || node?.status?.[0] === "ok" ? "" : node?.status?.[1] ?? "This graph doesn't listen to a voice.";
    if (why === this.deaf) return;
    this.deaf = why;
    this.show();
  }

  nudge(step) {
    const name = this.#slider?.name;
    const row = name && this.parameters.row(this.#node, name);
    if (!row) return;
    const value = Math.min(row.high ?? 1, Math.max(row.low ?? 0, Math.round((row.value + step) * 100) / 100));
    this.parameters.set(this.#node, name, value);
  }

  get emotions() {
    return this.parameters.row(this.#node, "emotion")?.choices ?? Object.keys(FACES);
  }

  #value(name) {
    return this.parameters.value(this.#node, name);
  }

  #offers(mode) {
    return this.parameters.row(this.#node, "mode")?.choices?.includes(mode) ?? false;
  }

  #build() {
    const modes = $("modes");
    for (const mode of MODES) {
      modes.append(h("button", {
        type: "button", role: "radio", "data-mode-choice": mode.id, "aria-checked": "false",
        title: mode.text, onclick: () => this.setMode(mode.id),
      }, mode.label));
    }
    radioKeys(modes);
    radioKeys($("emotions"));
    this.#buildEmotions();
    $("intensity").addEventListener("input", (event) => {
      const slider = this.#slider;
      if (slider) this.parameters.set(this.#node, slider.name, Number(event.target.value));
    });
    this.pad = feelingPad($("pad"), (valence, arousal) => {
      this.parameters.set(this.#node, "valence", valence);
      this.parameters.set(this.#node, "arousal", arousal);
      if (this.mode !== "pad") this.setMode("pad");
    });
  }

  #buildEmotions() {
    this.shown = this.emotions.join();
    $("emotions").replaceChildren(...this.emotions.map((name, i) => {
      const button = h("button", {
        type: "button", role: "radio", class: "emotion", "data-emotion": name, "aria-checked": "false",
        "aria-keyshortcuts": String(i + 1), title: `${name} (${i + 1})`, onclick: () => this.wear(name),
      }, glyph(FACES[name] ?? FACES.neutral), h("span", {}, name));
      button.style.setProperty("--hue", String(HUES[name] ?? 265));
      return button;
    }));
  }

  /** Draw what the engine has. */
  show() {
    if (this.shown !== this.emotions.join()) this.#buildEmotions();
    const { mode } = this;
    const known = Boolean(this.parameters.nodes[this.#node]);
    check($("modes"), "data-mode-choice", mode);
    for (const button of $("modes").children) {
      button.disabled = !this.#offers(MODES.find((each) => each.id === button.dataset.modeChoice)?.mode);
    }
    const emotion = this.#value("emotion");
    check($("emotions"), "data-emotion", mode === "wear" ? emotion : "");
    for (const button of $("emotions").children) button.disabled = !this.parameters.row(this.#node, "emotion");
    $("emotions").hidden = ["pad", "like", "scale", "voice"].includes(mode);
    $("pad-row").hidden = mode !== "pad";
    $("like-row").hidden = mode !== "like";
    say($("mode-text"), known ? this.#text(mode) : "Waiting for the engine to say what it can do.");

    const which = this.#slider;
    const row = which && this.parameters.row(this.#node, which.name);
    const slider = $("intensity");
    $("intensity-row").hidden = !which;
    if (which) say($("intensity-label"), which.label);
    slider.disabled = !row;
    if (row) {
      slider.min = row.low ?? 0;
      slider.max = row.high ?? 1;
      if (document.activeElement !== slider || Number(slider.value) !== row.value) slider.value = row.value;
      slider.setAttribute("aria-keyshortcuts", "[ ]");
      const part = (row.value - slider.min) / (slider.max - slider.min);
      slider.style.setProperty("--part", `${(part * 100).toFixed(1)}%`);
      say($("intensity-value"), `${Math.round(row.value * 100)} %`);
      slider.setAttribute("aria-valuetext", `${Math.round(row.value * 100)} percent`);
    }
    const [valence, arousal] = [this.#value("valence") ?? 0, this.#value("arousal") ?? 0];
    this.pad.show(valence, arousal);
    this.#tint(mode, emotion, valence, arousal);
  }

  #text(mode) {
    if (mode === "voice" && this.deaf) return `Your voice isn't read: ${this.deaf}`;
    if (mode === "wear" && this.#value("emotion") === "neutral") return "No feeling shows. Speech, gaze and blinks stay.";
    if (mode === "scale") {
      const scale = this.#value("scale") ?? 1;
      if (scale === 0) return "None of your own expression: neutral.";
      if (scale === 1) return "Your own expression, as it is.";
      return scale < 1 ? "Less of your own expression." : "More of your own expression.";
    }
    if (mode === "pad") return `${words(this.#value("valence") ?? 0, this.#value("arousal") ?? 0)}.`;
    return MODES.find((each) => each.id === mode)?.text ?? "";
  }

  #tint(mode, emotion, valence, arousal) {
    const name = mode === "wear" ? emotion : mode === "pad" ? near(valence, arousal)[0].name : "neutral";
    const { style, dataset } = document.documentElement;
    style.setProperty("--hue", String(HUES[name] ?? 265));
    dataset.mood = name ?? "neutral";
    dataset.mode = mode;
    dataset.emotion = emotion ?? "";
    dataset.intensity = String(this.#value("intensity") ?? "");
  }
}
