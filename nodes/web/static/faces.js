// Several faces before the camera: the page says so, and lets one be chosen.

import { $, h, say } from "./dom.js";
import { nodeOf } from "./roles.js";

const CHOICES = ["largest", "left", "right", "nearest"];
const WORDS = { largest: "the largest", left: "the one at the left", right: "the one at the right", nearest: "the one it was before" };
const MIRRORED = { left: "right", right: "left" };

/** @param {import("./parameters.js").Parameters} parameters */
export function facesRow(parameters) {
  const select = $("faces-follow");
  select.append(...CHOICES.map((choice) => h("option", { value: choice })));
  select.addEventListener("change", () => parameters.set(nodeOf("tracker"), "follow", select.value));

  /** Show or hide the row, by the engine's figures. */
  return (snapshot) => {
    const faces = Number(snapshot.nodes?.[nodeOf("tracker")]?.gauges?.faces ?? 0);
    const follow = parameters.value(nodeOf("tracker"), "follow");
    $("faces-row").hidden = faces < 2 || follow === undefined;
    if ($("faces-row").hidden) return;
    say($("faces-text"), `${faces} faces are seen; changed is`);
    // The engine's left is the camera's: in a mirror it is the other side.
    const mirrored = document.documentElement.dataset.mirror === "on";
    for (const option of select.options) say(option, WORDS[(mirrored && MIRRORED[option.value]) || option.value]);
    if (document.activeElement !== select) select.value = follow;
  };
}
