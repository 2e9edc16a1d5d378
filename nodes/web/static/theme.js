// Dark, light, or as the system says.

import { $, recall, remember } from "./dom.js";

const ORDER = ["system", "light", "dark"];

export function themes() {
  const button = $("theme");
  const set = (name) => {
    if (name === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = name;
    button.setAttribute("aria-label", `Theme: ${name === "system" ? "as the system" : name}`);
    button.title = button.getAttribute("aria-label");
    remember("theme", name);
  };
  const next = () => set(ORDER[(ORDER.indexOf(recall("theme", "system")) + 1) % ORDER.length]);
  set(ORDER.includes(recall("theme", "system")) ? recall("theme", "system") : "system");
  button.addEventListener("click", next);
  return next;
}
