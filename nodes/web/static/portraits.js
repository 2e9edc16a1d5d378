// Several portraits: which of them talks.

import { $, h } from "./dom.js";
import { nodeOf } from "./roles.js";

/**
 * @param {import("./parameters.js").Parameters} parameters
 * @param {(text: string) => void} refused
 */
export function portraitsRow(parameters, refused) {
  const select = $("portraits-choice");
  select.addEventListener("change", () => parameters.set(nodeOf("compositor"), "shown", Number(select.value)));
  parameters.addEventListener("refused", (event) => {
    const { node, name, line } = /** @type {CustomEvent} */ (event).detail;
    if (node === nodeOf("compositor") && name === "shown" && line) refused(line);
  });

  /** Show or hide the row, by the engine's figures. */
  return (snapshot) => {
    const names = String(snapshot.nodes?.[nodeOf("compositor")]?.gauges?.portraits ?? "");
    $("portraits-row").hidden = !names;
    if (!names) return;
    if (select.dataset.names !== names) {
      select.dataset.names = names;
      select.replaceChildren(...names.split("\n").map((name, at) => h("option", { value: String(at) }, name)));
    }
    if (document.activeElement !== select) select.value = String(parameters.value(nodeOf("compositor"), "shown"));
  };
}
