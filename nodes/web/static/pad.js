// The feeling pad: drag, or use arrows, to a point between pleasant and unpleasant, calm and excited.

import { h } from "./dom.js";
import { CIRCUMPLEX, faceAt, glyph, near, redraw } from "./glyph.js";

const STEP = 0.05;

/**
 * @param {HTMLElement} root
 * @param {(valence: number, arousal: number) => void} moved by the person
 * @returns {{show(valence: number, arousal: number): void, focus(): void}}
 */
export function feelingPad(root, moved) {
  let point = [0, 0];
  const face = glyph(faceAt(0, 0));
  const thumb = h("div", {
    id: "pad-thumb", class: "pad-thumb", role: "slider", tabindex: 0, "aria-label": "Feeling",
    "aria-roledescription": "pad", "aria-valuemin": -1, "aria-valuemax": 1,
  }, face);
  const surface = h("div", { id: "pad-surface", class: "pad-surface" },
    h("i", { class: "pad-axis across" }), h("i", { class: "pad-axis up" }), h("i", { class: "pad-ring" }));
  for (const [name, [v, a]] of Object.entries(CIRCUMPLEX)) {
    const mark = h("span", { class: "pad-mark", "data-mark": name, "aria-hidden": "true" }, name);
    place(mark, v, a);
    surface.append(mark);
  }
  surface.append(thumb);
  root.append(
    h("span", { class: "pad-label top-label" }, "excited"),
    h("span", { class: "pad-label left-label" }, "unpleasant"),
    surface,
    h("span", { class: "pad-label right-label" }, "pleasant"),
    h("span", { class: "pad-label low-label" }, "calm"));

  function show(valence, arousal) {
    point = [valence, arousal];
    place(thumb, valence, arousal);
    redraw(face, faceAt(valence, arousal));
    thumb.setAttribute("aria-valuenow", valence.toFixed(2));
    thumb.setAttribute("aria-valuetext", words(valence, arousal));
  }

  function go(valence, arousal) {
    const length = Math.hypot(valence, arousal); // the circumplex is a disc
    const scale = length > 1 ? 1 / length : 1;
    show(round(valence * scale), round(arousal * scale));
    moved(point[0], point[1]);
  }

  function follow(event) {
    const box = surface.getBoundingClientRect();
    go(((event.clientX - box.left) / box.width) * 2 - 1, 1 - ((event.clientY - box.top) / box.height) * 2);
  }

  surface.addEventListener("pointerdown", (event) => {
    surface.setPointerCapture(event.pointerId);
    thumb.focus({ preventScroll: true });
    follow(event);
    event.preventDefault();
  });
  surface.addEventListener("pointermove", (event) => surface.hasPointerCapture(event.pointerId) && follow(event));
  thumb.addEventListener("keydown", (event) => {
    const step = event.shiftKey ? STEP * 4 : STEP;
    const [dv, da] = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] }[event.key] ?? [0, 0];
    if (event.key === "Home") go(0, 0);
    else if (dv || da) go(point[0] + dv, point[1] + da);
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  show(0, 0);
  return { show, focus: () => thumb.focus() };
}

/** A point in words, for people who don't see it. */
export function words(valence, arousal) {
  const part = (value, low, high) => {
    const size = Math.abs(value);
    return `${size < 0.2 ? "neither" : `${size < 0.6 ? "somewhat" : "very"} ${value < 0 ? low : high}`}`;
  };
  const [a, b] = [part(valence, "unpleasant", "pleasant"), part(arousal, "calm", "excited")];
  const both = [a, b].filter((each) => each !== "neither").join(", ");
  return `Closest to ${near(valence, arousal)[0].name}${both && `: ${both}`}`;
}

const round = (value) => Math.round(value * 100) / 100;

function place(element, valence, arousal) {
  element.style.left = `${(valence + 1) * 50}%`;
  element.style.top = `${(1 - arousal) * 50}%`;
}
