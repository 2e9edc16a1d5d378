// The drawer for camera, microphone, resolution and what happens while the face is lost.

import { $, check, h, radioKeys, say } from "./dom.js";
import { RESOLUTIONS, devices } from "./media.js";
import { nodeOf } from "./roles.js";

const LOST = [
  { value: "hold", label: "Hold the last" },
  { value: "pass", label: "Show the camera" },
];

/**
 * @param {import("./live.js").Call} call
 * @param {import("./parameters.js").Parameters} parameters
 */
export function devicesPanel(call, parameters) {
  $("resolution").append(...RESOLUTIONS.map(({ name, label }) => h("option", { value: name }, label)));
  $("resolution").value = call.choice.resolution;
  for (const [id, key] of [["camera", "camera"], ["microphone", "microphone"], ["resolution", "resolution"]]) {
    $(id).addEventListener("change", () => call.choose({ [key]: $(id).value }));
  }
  $("when-lost").append(...LOST.map(({ value, label }) => h("button", {
    type: "button", role: "radio", "data-lost-choice": value, "aria-checked": "false",
    onclick: () => parameters.set(nodeOf("out"), "when_lost", value),
  }, label)));
  radioKeys($("when-lost"));
  $("pass").addEventListener("click", () => parameters.set(nodeOf("out"), "pass_through", !parameters.value(nodeOf("out"), "pass_through")));

  async function list() {
    await options("camera", "videoinput", call.choice.camera, call.camera?.getVideoTracks()[0]);
    await options("microphone", "audioinput", call.choice.microphone, call.camera?.getAudioTracks()[0]);
    const settings = call.camera?.getVideoTracks()[0]?.getSettings();
    say($("devices-note"), settings?.width ? `${settings.width}×${settings.height} at ${Math.round(settings.frameRate ?? 0)}/s` : "");
  }

  function show() {
    const lost = parameters.value(nodeOf("out"), "when_lost");
    check($("when-lost"), "data-lost-choice", lost ?? "");
    for (const button of $("when-lost").children) button.disabled = lost === undefined;
    const pass = parameters.value(nodeOf("out"), "pass_through");
    $("pass").setAttribute("aria-checked", String(Boolean(pass)));
    $("pass").disabled = pass === undefined;
    for (const id of ["camera", "microphone", "resolution"]) $(id).disabled = !call.sends;
  }

  call.addEventListener("change", list);
  call.addEventListener("devices", list);
  parameters.addEventListener("change", show);
  list();
  show();
}

/** One list of devices: the remembered one, else the one in use. */
async function options(id, kind, chosen, track) {
  const select = $(id);
  const found = await devices(kind);
  const using = track?.readyState === "live" ? track.getSettings().deviceId : "";
  const items = [{ id: "", label: found.length ? "The system's choice" : "Press Start to see them" }, ...found];
  const key = JSON.stringify([items, chosen, using]);
  if (select.dataset.key === key) return;
  select.dataset.key = key;
  select.replaceChildren(...items.map((item) => h("option", { value: item.id }, item.label)));
  const wanted = chosen && found.some((item) => item.id === chosen) ? chosen : "";
  select.value = wanted;
}
