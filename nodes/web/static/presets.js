// Presets: how the face looks now, kept by the engine under a name, back with one press.

import { $, h, say } from "./dom.js";
import { nodeOf } from "./roles.js";
import { toast } from "./stage.js";

const ROLES = ["editor", "compositor"]; // what a preset holds: how the face looks, not how it travels
const KEYS = [..."90acegijkquz"]; // those that nothing else has
const FILE_MOST = 60_000; // characters; the line takes 64 KiB

/** @typedef {{name: string, hotkey: string, values: Record<string, Record<string, unknown>>}} Preset */

export class PresetsPanel {
  #presets = /** @type {Preset[]} */ ([]);

  /**
   * @param {import("./socket.js").EngineLine} line
   * @param {import("./parameters.js").Parameters} parameters
   */
  constructor(line, parameters) {
    this.line = line;
    this.parameters = parameters;
    line.addEventListener("up", () => this.#ask("presets"));
    parameters.addEventListener("change", () => this.#mark());
    $("presets-open").addEventListener("click", () => this.#open());
    $("preset-key").append(h("option", { value: "" }, "none"), ...KEYS.map((key) => h("option", { value: key }, key.toUpperCase())));
    $("preset-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#keep($("preset-name").value, $("preset-key").value);
    });
    $("presets-close").addEventListener("click", () => $("presets-dialog").close());
    $("presets-export").addEventListener("click", () => this.#export());
    $("presets-import").addEventListener("click", () => $("presets-file").click());
    $("presets-file").addEventListener("change", () => this.#import());
    $("presets-defaults").addEventListener("click", async () => {
      if (await this.#ask("defaults")) this.#done("Everything is back to the defaults.");
    });
  }

  /** Whether a preset has this key; it is applied. @param {string} key */
  press(key) {
    const preset = this.#presets.find(({ hotkey }) => hotkey === key);
    if (preset) this.apply(preset.name);
    return Boolean(preset);
  }

  /** @param {string} name */
  async apply(name) {
    if (await this.#ask("preset_apply", { name })) this.parameters.refresh();
  }

  async #keep(name, hotkey) {
    const nodes = ROLES.map(nodeOf).filter((node) => this.parameters.nodes[node]);
    if (!(await this.#ask("preset_save", { name: name.trim(), hotkey, nodes }))) return;
    $("preset-name").value = "";
    this.#suggest();
    this.#done(`Kept as “${name.trim()}”.`);
  }

  #export() {
    const text = JSON.stringify({ presets: this.#presets }, null, 1);
    const link = h("a", { download: "mien-presets.json", href: URL.createObjectURL(new Blob([text], { type: "application/json" })) });
    link.click();
    URL.revokeObjectURL(link.href);
  }

  async #import() {
    const [file] = $("presets-file").files;
    $("presets-file").value = "";
    if (!file) return;
    let presets;
    try {
      if (file.size > FILE_MOST) throw new Error("too large");
      ({ presets } = JSON.parse(await file.text()));
    } catch {
      return say($("presets-error"), `${file.name} isn't a file of presets.`);
    }
    if (await this.#ask("preset_import", { presets })) this.#done("Imported.");
  }

  /** Ask the engine; its refusal is said in the dialog, or passing by where that is shut. */
  async #ask(op, args = {}) {
    try {
      const answer = await this.line.call(op, args);
      if (Array.isArray(answer)) {
        this.#presets = answer;
        this.#show();
      }
      say($("presets-error"), "");
      return true;
    } catch (error) {
      if ($("presets-dialog").open) say($("presets-error"), error.message);
      else if (op !== "presets") toast(error.message, "error");
      return false;
    }
  }

  #done(text) {
    this.parameters.refresh();
    toast(text);
  }

  #open() {
    this.#ask("presets");
    this.#suggest();
    $("presets-dialog").showModal();
  }

  /** The first key that no preset has. */
  #suggest() {
    $("preset-key").value = KEYS.find((key) => !this.#presets.some(({ hotkey }) => hotkey === key)) ?? "";
  }

  #show() {
    $("presets").replaceChildren(...this.#presets.map(({ name, hotkey }) => h("button", {
      type: "button", class: "small preset", "data-preset": name, "aria-keyshortcuts": hotkey || null, onclick: () => this.apply(name),
    }, h("span", {}, name), hotkey ? h("kbd", {}, hotkey) : "")));
    $("presets-list").replaceChildren(...this.#presets.map(({ name, hotkey }) => h("li", {},
      h("span", {}, name), hotkey ? h("kbd", {}, hotkey) : h("span"),
      h("button", { type: "button", class: "small", "aria-label": `Delete ${name}`, onclick: () => this.#ask("preset_delete", { name }) }, "Delete"))));
    $("presets-export").disabled = !this.#presets.length;
    this.#mark();
  }

  /** Which presets are what is set now. */
  #mark() {
    this.#presets.forEach(({ values }, i) => {
      const same = Object.entries(values).every(([node, row]) =>
        Object.entries(row).every(([name, value]) => (this.parameters.value(node, name) ?? value) === value));
      $("presets").children[i]?.setAttribute("aria-pressed", String(same));
    });
  }
}
