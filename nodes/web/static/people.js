// Whose faces are used: the enrolled people of this machine, chosen, renamed and forgotten.

import { $, h, say } from "./dom.js";
import { guide } from "./guide.js";
import { nodeOf } from "./roles.js";

const ANYBODY = "whoever is seen";

/**
 * @param {import("./socket.js").EngineLine} line
 * @param {import("./parameters.js").Parameters} parameters
 * @param {(text: string) => void} refused
 */
export function peopleRow(line, parameters, refused) {
  const select = $("people-choice");
  let names = /** @type {string[]} */ ([]);
  let remembered = 0;

  async function ask(op, args = {}) {
    try {
      names = await line.call(op, args);
      show();
      return true;
    } catch (error) {
      refused(error.message);
      return false;
    }
  }

  function show() {
    const person = parameters.value(nodeOf("compositor"), "person");
    const remembers = parameters.row(nodeOf("compositor"), "enrol") !== undefined; // a portrait doesn't
    $("people-row").hidden = !remembers;
    if (!remembers) return;
    const known = !person || names.includes(person) ? names : [person, ...names]; // a path, given at the start
    const key = JSON.stringify(known);
    if (select.dataset.key !== key) {
      select.dataset.key = key;
      select.replaceChildren(h("option", { value: "" }, ANYBODY), ...known.map((name) => h("option", { value: name }, name)));
    }
    if (document.activeElement !== select || select.selectedIndex < 0) select.value = person;
    for (const id of ["person-rename", "person-forget"]) $(id).disabled = !names.includes(person);
    say($("people-text"), `${remembered} ${remembered === 1 ? "face" : "faces"} remembered`);
  }

  guide(line, (name) => ask("people").then(() => parameters.set(nodeOf("compositor"), "person", name)));
  line.addEventListener("up", () => ask("people"));
  select.addEventListener("focus", () => ask("people"));
  select.addEventListener("change", () => parameters.set(nodeOf("compositor"), "person", select.value));
  parameters.addEventListener("change", show);
  parameters.addEventListener("refused", (event) => {
    const { node, name, line: text } = /** @type {CustomEvent} */ (event).detail;
    if (node === nodeOf("compositor") && name === "person" && text) refused(text);
  });
  $("person-rename").addEventListener("click", async () => {
    const name = parameters.value(nodeOf("compositor"), "person");
    const to = prompt(`What is ${name} called?`, name)?.trim();
    if (to && to !== name && await ask("person_rename", { name, to })) parameters.set(nodeOf("compositor"), "person", to);
  });
  $("person-forget").addEventListener("click", async () => {
    const name = parameters.value(nodeOf("compositor"), "person");
    if (!confirm(`Forget ${name}? What is remembered of their face is removed from this machine.`)) return;
    if (await ask("person_forget", { name })) parameters.set(nodeOf("compositor"), "person", "");
  });

  /** How many faces are remembered, by the engine's figures. */
  return (snapshot) => {
    $("guide-open").disabled = snapshot.nodes?.[nodeOf("tracker")]?.status?.[0] !== "ok";
    remembered = Number(snapshot.nodes?.[nodeOf("compositor")]?.gauges?.remembered ?? 0);
    show();
  };
}
