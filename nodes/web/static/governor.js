// What the engine does without while its machine is busy, why, and a button to hold or release that.

import { $, say } from "./dom.js";

/**
 * @param {import("./socket.js").EngineLine} line
 * @param {import("./parameters.js").Parameters} parameters
 * @param {(text: string) => void} refused
 */
export function governorRow(line, parameters, refused) {
  let known = "";
  let level = 0;
  let held = false;
  $("governor-hold").addEventListener("click", () =>
    line.call("govern", { level: held ? null : level }).catch((error) => refused(error.message)));

  /** Show or hide the row, by the engine's figures. */
  return (snapshot) => {
    const governor = snapshot.governor;
    level = governor?.level ?? 0;
    held = Boolean(governor?.held);
    document.documentElement.dataset.level = governor ? String(level) : "";
    $("governor-row").hidden = !level && !held;
    if ($("governor-row").hidden) return note();
    const what = level ? `${held ? "Held" : "This computer is busy"}: ${governor.text}` : "Held: the full picture";
    say($("governor-text"), `${what} (level ${level} of ${governor.levels.length}).`);
    $("governor-text").title = governor.why;
    say($("governor-hold"), held ? "Release" : "Hold");
    $("governor-hold").title = held ? "Let the engine choose again" : "Keep to this, whatever the load";
    note();
  };

  /** A level changes parameters: what is shown of them is old. */
  function note() {
    const now = `${level}`;
    if (known && known !== now) parameters.refresh();
    known = now;
  }
}
