// A guided minute: one face after the other is shown to the engine, which keeps them under a name.

import { $, say, sleep } from "./dom.js";
import { FACES, glyph } from "./glyph.js";
import { nodeOf } from "./roles.js";

const STEP_MS = 4000;
const READY_MS = 1200; // time to put the face on
const TICK_MS = 100;
// What to do, the drawn example, and what the engine is told: a sentence is read, not told.
const STEPS = [
  ["Look calm", "neutral", "neutral"],
  ["Stay calm, and turn your head slowly to one side and to the other", "neutral", "neutral"],
  ["Smile", "happy", "happy"],
  ["Be surprised", "surprised", "surprised"],
  ["Look sad", "sad", "sad"],
  ["Look angry", "angry", "angry"],
  ["Be disgusted", "disgusted", "disgusted"],
  ["Be frightened", "fear", "fear"],
  ["Raise one corner of your mouth, as if you knew better", "contempt", "contempt"],
  ["Say calmly: “My own face is the one that I know best.”", "neutral", "read"],
];

/**
 * @param {import("./socket.js").EngineLine} line
 * @param {(name: string) => void} enrolled
 */
export function guide(line, enrolled) {
  const dialog = $("guide-dialog");
  let round = 0; // each run of a step has a number; an older one ends by itself
  let step = -1;
  let kept = true; // nothing was said that has to be taken back

  const set = (parameter, value) => line.call("set", { node: nodeOf("compositor"), parameter, value });

  function view(part) {
    $("guide-about").hidden = $("guide-agree-row").hidden = part !== "about";
    $("guide-step").hidden = $("guide-again").hidden = $("guide-skip").hidden = part !== "step";
    $("guide-name-row").hidden = part !== "name";
    $("guide-go").hidden = part === "step";
    say($("guide-go"), part === "name" ? "Keep" : "Begin");
    say($("guide-error"), "");
  }

  async function show(next) {
    const mine = ++round;
    step = next;
    if (step === STEPS.length) {
      view("name");
      $("guide-go").disabled = false;
      $("guide-name").focus();
      return set("shows", "read").catch(() => {});
    }
    const [words, face, told] = STEPS[step];
    view("step");
    $("guide-face").replaceChildren(glyph(FACES[face]));
    say($("guide-say"), words);
    say($("guide-count"), `${step + 1} of ${STEPS.length}`);
    $("guide-progress").value = 0;
    try {
      await set("shows", "read");
      await sleep(READY_MS);
      if (mine !== round) return;
      await set("shows", told);
      for (let passed = 0; passed < STEP_MS; passed += TICK_MS) {
        await sleep(TICK_MS);
        if (mine !== round) return;
        $("guide-progress").value = passed / STEP_MS;
      }
    } catch (error) {
      return say($("guide-error"), `${error.message}. Try once more.`);
    }
    show(step + 1);
  }

  async function begin() {
    try {
      await set("remember", true);
      await set("person", "");
      kept = false;
      show(0);
    } catch (error) {
      say($("guide-error"), error.message);
    }
  }

  async function keep() {
    const name = $("guide-name").value.trim();
    try {
      if (!name) throw new Error("What are you called?");
      await set("enrol", name);
      kept = true;
      await set("enrol", "");
    } catch (error) {
      return say($("guide-error"), error.message);
    }
    dialog.close();
    enrolled(name);
  }

  $("guide-open").addEventListener("click", () => {
    view("about");
    $("guide-agree").checked = false;
    $("guide-go").disabled = true;
    $("guide-name").value = "";
    step = -1;
    dialog.showModal();
  });
  $("guide-agree").addEventListener("change", () => ($("guide-go").disabled = !$("guide-agree").checked));
  $("guide-again").addEventListener("click", () => show(step));
  $("guide-skip").addEventListener("click", () => show(step + 1));
  $("guide-close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => {
    round += 1;
    if (!kept) set("shows", "unsay").catch(() => {});
    kept = true;
    set("shows", "read").catch(() => {});
  });
  $("guide-form").addEventListener("submit", (event) => {
    event.preventDefault();
    if (step < 0) begin();
    else keep();
  });
}
