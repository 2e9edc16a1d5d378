// The expression panel: what the face becomes, which emotion, how strongly.

import { $, check, h, radioKeys, say } from "./dom.js";
import { FACES, HUES, glyph, near } from "./glyph.js";
import { feelingPad, words } from "./pad.js";

const NODE = "editor";

// Each way with the words for it, and what the editor may call it.
const MODES = [
  { id: "off", label: "Off", text: "Your face as it is.", names: ["off", "none"] },
  { id: "neutral", label: "Neutral", text: "No feeling shows. Speech, gaze and blinks stay.", names: ["neutral", "neutralize"] },
  { id: "wear", label: "Wear", text: "Wear one emotion, as strongly as you like.", names: ["emotion", "wear"] },
  { id: "pad", label: "Pad", text: "Drag to any feeling between them.", names: ["valence_arousal", "point", "pad", "va", "circumplex"] },
];

export class MoodPanel {
  /** @param {import("./parameters.js").Parameters} parameters */
  constructor(parameters) {
    this.parameters = parameters;
    this.#build();
    parameters.addEventListener("change", () => this.show());
    parameters.addEventListener("refused", (event) => {
      const { node, line } = /** @type {CustomEvent} */ (event).detail;
      if (node === NODE) say($("face-error"), line);
    });
    this.show();
  }

  /** The mode's id on this page, "" before the engine told. */
  get mode() {
    const value = this.#value("mode");
    return MODES.find((mode) => mode.names.includes(value))?.id ?? "";
  }

  setMode(id) {
    const name = this.#engineName(id);
    if (name) this.parameters.set(NODE, "mode", name);
  }

  /** Wear this emotion now. */
  wear(emotion) {
    this.parameters.set(NODE, "emotion", emotion);
    if (this.mode !== "wear") this.setMode("wear");
  }

  /** One of the eight, by place. */
  wearNth(n) {
    const name = this.emotions[n];
    if (name) this.wear(name);
  }

  nudge(step) {
    const row = this.parameters.row(NODE, "intensity");
    if (!row) return;
    const value = Math.min(row.high ?? 1, Math.max(row.low ?? 0, Math.round((row.value + step) * 100) / 100));
    this.parameters.set(NODE, "intensity", value);
  }

  get emotions() {
    return this.parameters.row(NODE, "emotion")?.choices ?? Object.keys(FACES);
  }

  #value(name) {
    return this.parameters.value(NODE, name);
  }

  #engineName(id) {
    const choices = this.parameters.row(NODE, "mode")?.choices ?? [];
    return MODES.find((mode) => mode.id === id)?.names.find((name) => choices.includes(name));
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
      this.parameters.set(NODE, "intensity", Number(event.target.value));
    });
    this.pad = feelingPad($("pad"), (valence, arousal) => {
      this.parameters.set(NODE, "valence", valence);
      this.parameters.set(NODE, "arousal", arousal);
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
    const known = Boolean(this.parameters.nodes[NODE]);
    check($("modes"), "data-mode-choice", mode);
    for (const button of $("modes").children) {
      button.disabled = !this.#engineName(button.dataset.modeChoice);
    }
    const emotion = this.#value("emotion");
    check($("emotions"), "data-emotion", mode === "wear" ? emotion : "");
    for (const button of $("emotions").children) button.disabled = !this.parameters.row(NODE, "emotion");
    $("emotions").hidden = mode === "pad";
    $("pad-row").hidden = mode !== "pad";
    say($("mode-text"), known ? this.#text(mode) : "Waiting for the engine to say what it can do.");

    const row = this.parameters.row(NODE, "intensity");
    const slider = $("intensity");
    $("intensity-row").hidden = mode !== "wear";
    slider.disabled = !row;
    if (row) {
      slider.min = row.low ?? 0;
      slider.max = row.high ?? 1;
      if (document.activeElement !== slider || Number(slider.value) !== row.value) slider.value = row.value;
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
