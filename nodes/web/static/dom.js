// Find and make elements; remember choices between visits.

/** Where this page's engine is: "/", or "/s/NAME/" where many people share a machine. */
export const BASE = new URL(".", location.href).pathname;

/** @param {string} id @returns {any} the element with this id */
export const $ = (id) => document.getElementById(id);

/**
 * Make an element. Attributes starting with "on" are listeners; null and false leave one out.
 * @param {string} tag
 * @param {Record<string, any>} [attributes]
 * @param {...(Node|string)} children
 */
export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** The same for SVG. @param {string} tag @param {Record<string, any>} [attributes] */
export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children);
  return element;
}

/** Set text only where it changed, so that screen readers and layout rest. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Swap the picture of a button. @param {Element} button @param {string} name */
export function icon(button, name) {
  button.querySelector("use").setAttribute("href", `#i-${name}`);
}

/** A radio group of buttons: arrows move, one is in the tab order. */
export function radioKeys(group) {
  group.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    const radios = [...group.querySelectorAll('[role="radio"]:not([disabled])')];
    const at = radios.indexOf(document.activeElement);
    if (at < 0) return;
    event.preventDefault();
    event.stopPropagation();
    const next = radios[(at + step + radios.length) % radios.length];
    next.focus();
    next.click();
  });
}

/** Mark one radio of a group; without one the first stays reachable by Tab. */
export function check(group, attribute, value) {
  const radios = [...group.querySelectorAll('[role="radio"]')];
  const chosen = radios.find((radio) => radio.getAttribute(attribute) === value);
  for (const radio of radios) {
    radio.setAttribute("aria-checked", String(radio === chosen));
    radio.tabIndex = radio === (chosen ?? radios[0]) ? 0 : -1;
  }
}

/** @template T @param {string} key @param {T} fallback @returns {T} */
export function recall(key, fallback) {
  try {
    const text = localStorage.getItem(`mien.${key}`);
    return text === null ? fallback : JSON.parse(text);
  } catch {
    return fallback; // private windows refuse storage; the page works without
  }
}

/** @param {string} key @param {unknown} value */
export function remember(key, value) {
  try {
    localStorage.setItem(`mien.${key}`, JSON.stringify(value));
  } catch {
    return; // nothing to do: the choice lasts for this visit
  }
}

export const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
