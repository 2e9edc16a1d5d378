// Small drawn faces: one for each emotion, and any feeling between them.

import { svg } from "./dom.js";

/**
 * brow: lift of the inner and outer end; eye: height; smile: of left and right corner;
 * open: of the mouth; width: of the mouth. All in units of a 48-wide face.
 * @typedef {{inner: number, outer: number, eye: number, smile: number, lopsided: number, open: number, width: number}} Face
 */

/** @type {Record<string, Face>} */
export const FACES = {
  neutral: { inner: 0, outer: 0, eye: 2.4, smile: 0, lopsided: 0, open: 0, width: 7 },
  angry: { inner: -3.4, outer: 1.8, eye: 1.7, smile: -1.6, lopsided: 0, open: 0, width: 6.5 },
  contempt: { inner: 0, outer: 1.2, eye: 1.7, smile: -0.2, lopsided: 3.4, open: 0, width: 7 },
  disgusted: { inner: -1.8, outer: -0.6, eye: 1.2, smile: -2.4, lopsided: -1.6, open: 1.4, width: 7 },
  fear: { inner: 3, outer: 0.2, eye: 3.1, smile: -2, lopsided: 0, open: 2, width: 7.5 },
  happy: { inner: 0.8, outer: 0.4, eye: 1.9, smile: 4.2, lopsided: 0, open: 2.6, width: 9 },
  sad: { inner: 3, outer: -2.4, eye: 1.9, smile: -3.4, lopsided: 0, open: 0, width: 6.5 },
  surprised: { inner: 3, outer: 3, eye: 3.3, smile: 0, lopsided: 0, open: 5.4, width: 4.6 },
};

// Degrees on Russell's circumplex (1980), from pleasant over excited; the engine uses the same.
const ANGLES = { happy: 20, surprised: 75, fear: 110, angry: 135, disgusted: 165, contempt: 180, sad: 208 };
const RADIUS = 0.8;

/** Valence and arousal of each emotion, -1..1. @type {Record<string, number[]>} */
export const CIRCUMPLEX = { neutral: [0, 0] };
for (const [name, degrees] of Object.entries(ANGLES)) {
  const angle = (degrees / 180) * Math.PI;
  CIRCUMPLEX[name] = [RADIUS * Math.cos(angle), RADIUS * Math.sin(angle)];
}

export const HUES = {
  neutral: 265, angry: 25, contempt: 340, disgusted: 135, fear: 300, happy: 78, sad: 245, surprised: 195,
};

/**
 * The eight emotions with how near each is to a point, nearest first; the weights sum to 1.
 * @returns {Array<{name: string, weight: number}>}
 */
export function near(valence, arousal) {
  const weights = Object.entries(CIRCUMPLEX).map(([name, [v, a]]) => {
    const distance = Math.hypot(v - valence, a - arousal);
    return { name, weight: 1 / (0.03 + distance ** 3) };
  });
  const sum = weights.reduce((total, { weight }) => total + weight, 0);
  return weights.map(({ name, weight }) => ({ name, weight: weight / sum })).sort((a, b) => b.weight - a.weight);
}

/** The face of a point: the emotions' faces, mixed. @returns {Face} */
export function faceAt(valence, arousal) {
  const mixed = { inner: 0, outer: 0, eye: 0, smile: 0, lopsided: 0, open: 0, width: 0 };
  for (const { name, weight } of near(valence, arousal)) {
    for (const key of Object.keys(mixed)) mixed[key] += FACES[name][key] * weight;
  }
  return mixed;
}

/** A drawing that `redraw` changes. @param {Face} face */
export function glyph(face) {
  const drawing = svg("svg", { viewBox: "0 0 48 48", class: "glyph", "aria-hidden": "true" },
    svg("path", { class: "glyph-brow" }),
    svg("ellipse", { class: "glyph-eye", cx: 16.5, cy: 21.5, rx: 2.1 }),
    svg("ellipse", { class: "glyph-eye", cx: 31.5, cy: 21.5, rx: 2.1 }),
    svg("path", { class: "glyph-mouth" }));
  redraw(drawing, face);
  return drawing;
}

/** @param {Element} drawing @param {Face} face */
export function redraw(drawing, face) {
  const [brows, left, right, mouth] = drawing.children;
  const inner = 15 - face.inner;
  const outer = 15 - face.outer;
  const arch = Math.min(inner, outer) - 0.9;
  brows.setAttribute("d", `M12 ${outer}Q16 ${arch} 20.5 ${inner}M36 ${outer}Q32 ${arch} 27.5 ${inner}`);
  for (const eye of [left, right]) eye.setAttribute("ry", face.eye.toFixed(2));
  const y = 33 + face.smile * 0.35 - face.open * 0.35;
  const a = y - face.smile * 0.8;
  const b = a - face.lopsided;
  const [x1, x2] = [24 - face.width, 24 + face.width];
  const top = y + face.smile * 0.55 - (face.smile > 1 ? 0 : face.open * 0.9);
  const low = y + face.smile * 0.95 + face.open * 1.7;
  mouth.setAttribute("d", face.open < 0.3
    ? `M${x1} ${a}Q24 ${y + face.smile * 0.9} ${x2} ${b}`
    : `M${x1} ${a}Q24 ${top} ${x2} ${b}Q24 ${low + face.open} ${x1} ${a}Z`);
  mouth.classList.toggle("open", face.open >= 0.3);
}
