// Every parameter of every node as an input with its limits; the engine's refusal beside it.

import { $, h, say } from "./dom.js";
import { choiceWords, nodeWords, parameterWords } from "./words.js";

export class AdvancedPanel {
  #fields = new Map();
  #shape = "";

  /** @param {import("./parameters.js").Parameters} parameters */
  constructor(parameters) {
    this.parameters = parameters;
    parameters.addEventListener("change", () => this.show());
    parameters.addEventListener("refused", (event) => {
      const { node, name, line } = /** @type {CustomEvent} */ (event).detail;
      const field = this.#fields.get(`${node}.${name}`);
      if (!field) return;
      say(field.error, line);
      field.input.setAttribute("aria-invalid", String(Boolean(line)));
      if (!line) this.show();
    });
    $("d-advanced").addEventListener("toggle", () => this.show());
  }

  show() {
    if (!$("d-advanced").open) return;
    const { nodes } = this.parameters;
    const shape = JSON.stringify(Object.entries(nodes).map(([node, rows]) => [node, rows.map((row) => row.name)]));
    if (shape !== this.#shape) {
      this.#shape = shape;
      this.#fields.clear();
      $("advanced").replaceChildren(...Object.entries(nodes)
        .map(([node, rows]) => ({ node, rows: rows.filter((row) => row.name !== "token") })) // a secret isn't shown
        .filter(({ rows }) => rows.length)
        .map(({ node, rows }) => h("fieldset", { "data-node": node }, h("legend", {}, nodeWords(node)), ...rows.map((row) => this.#field(node, row)))));
    }
    for (const [node, rows] of Object.entries(nodes)) {
      for (const row of rows) this.#put(this.#fields.get(`${node}.${row.name}`)?.input, row.value);
    }
  }

  #put(input, value) {
    if (!input || input === document.activeElement || input.getAttribute("aria-invalid") === "true") return;
    if (input.type === "checkbox") input.checked = Boolean(value);
    else input.value = value ?? "";
  }

  #field(node, row) {
    const id = `p-${node}-${row.name}`;
    const input = this.#input(node, row);
    input.id = id;
    input.disabled = !row.live;
    input.title = row.doc;
    input.dataset.parameter = `${node}.${row.name}`;
    const error = h("p", { class: "field-error", id: `${id}-error`, role: "alert" });
    const hint = [sentence(row.doc), span(row), row.live ? "" : "fixed while it runs"].filter(Boolean).join(" · ");
    input.setAttribute("aria-describedby", `${id}-doc ${id}-error`);
    input.addEventListener("change", () => {
      const value = read(input, row);
      input.setAttribute("aria-invalid", "false");
      this.parameters.set(node, row.name, value);
    });
    this.#fields.set(`${node}.${row.name}`, { input, error });
    return h("div", { class: "parameter" },
      h("label", { for: id }, parameterWords(node, row.name)), input,
      h("p", { class: "hint", id: `${id}-doc` }, hint, " ", h("code", {}, `${node}.${row.name}`)), error);
  }

  #input(node, row) {
    if (row.choices) {
      return h("select", {}, ...row.choices.map((choice) => h("option", { value: choice }, choiceWords(node, row.name, choice))));
    }
    if (row.type === "bool") return h("input", { type: "checkbox" });
    if (row.type === "int" || row.type === "float") {
      return h("input", { type: "number", inputmode: "decimal", step: row.type === "int" ? 1 : "any", min: row.low, max: row.high });
    }
    return h("input", { type: "text", autocomplete: "off", spellcheck: "false" });
  }
}

function read(input, row) {
  if (row.type === "bool") return input.checked;
  if (row.type === "int" || row.type === "float") return input.value === "" ? "" : Number(input.value);
  return input.value;
}

function sentence(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function span({ low, high, unit }) {
  const tail = unit ? ` ${unit}` : "";
  if (low !== null && high !== null) return `${low} to ${high}${tail}`;
  if (low !== null) return `at least ${low}${tail}`;
  if (high !== null) return `at most ${high}${tail}`;
  return unit;
}
