// Single-key shortcuts, listed in the help dialog, and a switch to turn them off.

import { $, h, recall, remember } from "./dom.js";

/**
 * @param {Array<{keys: string[], shown?: string[], label: string, run: (key: string) => void}>} shortcuts
 * @param {(key: string) => boolean} other takes a key that is none of these, or doesn't
 */
export function shortcuts(shortcuts, other) {
  const dialog = $("help-dialog");
  const list = shortcuts.map(({ keys, shown, label }) => [
    h("dt", {}, ...(shown ?? keys).map((key) => h("kbd", {}, key))), h("dd", {}, label),
  ]).flat();
  $("keys").append(...list, h("dt", {}, h("kbd", {}, "?")), h("dd", {}, "this help"));
  $("keys-on").checked = recall("keys", true);
  $("keys-on").addEventListener("change", (event) => remember("keys", event.target.checked));
  $("help").addEventListener("click", () => dialog.showModal());

  const table = new Map(shortcuts.flatMap(({ keys, run }) => keys.map((key) => [key.toLowerCase(), run])));
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || document.querySelector("dialog[open]")) return;
    const typing = event.target instanceof HTMLElement && event.target.closest("input:not([type=range]):not([type=checkbox]), select, textarea");
    if (typing) return;
    if (event.key === "?") return dialog.showModal();
    if (!recall("keys", true)) return;
    const key = event.key.toLowerCase();
    const run = table.get(key);
    if (!run && !other(key)) return;
    event.preventDefault();
    run?.(key);
  });
}
