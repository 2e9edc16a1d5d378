// ?clean leaves nothing of the page but the avatar: said before anything is drawn, so this is no module.

const asked = new URLSearchParams(location.search);
if (asked.has("clean")) {
  const root = document.documentElement;
  root.dataset.clean = asked.has("watch") ? "watch" : "on";
  document.querySelector('meta[name="color-scheme"]')?.remove(); // a dark page would be filled
  const colour = asked.get("background") ?? "";
  root.style.background = /^[0-9a-f]{3,8}$/i.test(colour) ? `#${colour}` : colour; // none: transparent
}
