// ?clean leaves nothing of the page but the avatar: said before anything is drawn, so this is no module.

const asked = new URLSearchParams(location.search);
const colour = asked.get("background") ?? "";
const background = /^[0-9a-f]{3,8}$/i.test(colour) ? `#${colour}` : colour; // none: transparent
if (asked.has("clean")) {
  const root = document.documentElement;
  root.dataset.clean = asked.has("watch") ? "watch" : "on";
  document.querySelector('meta[name="color-scheme"]')?.remove(); // a dark page would be filled
  root.style.background = background;
} else if (background) {
  document.documentElement.style.setProperty("--behind", background); // of a 3D avatar
}
