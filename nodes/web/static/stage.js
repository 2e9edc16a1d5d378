// The pictures: how they are laid out, and what is written over them.

import { $, check, h, radioKeys, recall, remember, say } from "./dom.js";
import { FACES, glyph, redraw } from "./glyph.js";

const VIEWS = ["inset", "side", "single"];
const VEIL_FACES = { idle: "happy", trouble: "sad", stopped: "sad", permission: "surprised" };

export class Stage {
  #face = glyph(FACES.happy);

  constructor() {
    $("veil-face").append(this.#face);
    for (const button of document.querySelectorAll("[data-view-choice]")) {
      button.addEventListener("click", () => this.view(/** @type {HTMLElement} */ (button).dataset.viewChoice));
    }
    radioKeys(document.querySelector(".views"));
    $("mirror").addEventListener("click", () => this.mirror(document.documentElement.dataset.mirror !== "on"));
    $("full").addEventListener("click", () => this.fullscreen());
    $("full").hidden = !document.fullscreenEnabled;
    this.view(recall("view", "inset"));
    this.mirror(recall("mirror", true));
    for (const video of [$("avatar"), $("self")]) {
      video.addEventListener("resize", () => this.#shape());
    }
  }

  view(name) {
    const chosen = VIEWS.includes(name) ? name : "inset";
    document.documentElement.dataset.view = chosen;
    check(document.querySelector(".views"), "data-view-choice", chosen);
    remember("view", chosen);
  }

  nextView() {
    const at = VIEWS.indexOf(document.documentElement.dataset.view ?? "");
    this.view(VIEWS[(at + 1) % VIEWS.length]);
  }

  mirror(on) {
    document.documentElement.dataset.mirror = on ? "on" : "off";
    $("mirror").setAttribute("aria-pressed", String(on));
    remember("mirror", on);
  }

  fullscreen() {
    if (document.fullscreenElement) document.exitFullscreen();
    else $("stage").requestFullscreen?.().catch(() => undefined); // refused without a click; nothing lost
  }

  /** @param {import("./states.js").Shown} shown */
  show(shown) {
    const root = document.documentElement.dataset;
    root.state = shown.state;
    root.tone = shown.tone;
    const status = shown.state === "idle" ? "Not started" : shown.title;
    say($("status-text"), status);
    $("veil").hidden = !shown.cover;
    if (shown.cover) {
      say($("veil-title"), shown.title);
      say($("veil-text"), shown.text);
      say($("veil-action"), shown.action || "Start");
      $("veil-action").hidden = !shown.action;
      $("veil-note").hidden = shown.state !== "idle";
      redraw(this.#face, FACES[VEIL_FACES[shown.state] ?? "neutral"]);
    }
    const key = JSON.stringify(shown.badges);
    if ($("badges").dataset.key !== key) {
      $("badges").dataset.key = key;
      $("badges").replaceChildren(...shown.badges.map(({ id, text }) => h("span", { class: "badge", "data-badge": id }, text)));
    }
  }

  #shape() {
    const { videoWidth, videoHeight } = $("avatar").videoWidth ? $("avatar") : $("self");
    if (videoWidth) $("stage").style.setProperty("--ratio", `${videoWidth} / ${videoHeight}`);
  }
}

/** A short message that goes by itself. @param {string} text @param {string} [level] */
export function toast(text, level = "info") {
  const message = h("p", { class: "toast", "data-level": level }, text);
  $("toasts").append(message);
  while ($("toasts").children.length > 3) $("toasts").firstChild.remove();
  setTimeout(() => message.remove(), 6000);
}
