// The admin's page: what runs here, once a second; end one, let nobody new in.

const EVERY_MS = 1000;

/** @param {string} id @returns {any} */
const $ = (id) => document.getElementById(id);
const text = (value, unit = "", digits = 0) => value === null || value === undefined ? "" : `${value.toFixed(digits)}${unit}`;
const clock = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;

let before = new Map(); // CPU seconds by session, and when

function row(cells) {
  const line = document.createElement("tr");
  for (const cell of cells) {
    const place = document.createElement("td");
    place.append(cell);
    line.append(place);
  }
  return line;
}

function ender(number) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "End";
  button.setAttribute("aria-label", `End session ${number}`);
  button.onclick = () => fetch(`/admin/sessions/${number}`, { method: "DELETE" }).then(look);
  return button;
}

function drainer(number) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Drain";
  button.setAttribute("aria-label", `Drain worker ${number}`);
  button.onclick = async () => {
    const answer = await fetch(`/admin/workers/${number}/drain`, { method: "POST" });
    $("told").textContent = answer.ok ? "" : (await answer.text()).trim();
    look();
  };
  return button;
}

function show(state) {
  const now = performance.now() / 1000;
  const used = new Map();
  $("sessions").replaceChildren(...state.sessions.map((one) => {
    used.set(one.number, { cpu: one.cpu_s, at: now });
    const last = before.get(one.number);
    const share = last && one.cpu_s !== null ? 100 * (one.cpu_s - last.cpu) / (now - last.at) : null;
    return row([
      String(one.number), one.state, clock(one.since_s), String(one.connected), String(one.pages),
      text(one.fps, "", 1), text(one.latency_ms?.p50, " ms"), text(one.pss_mb, " MB"), text(share, " %"),
      String(one.restarts), ender(one.number),
    ]);
  }));
  before = used;
  const waiting = state.waiting ? `, ${state.waiting} in line` : "";
  $("load").textContent = `${state.sessions.length} of ${state.places}${waiting}; ${state.machine.cores} cores ${text(state.machine.cpu_percent, " %")} busy, memory ${text(state.machine.memory_percent, " %")}`;
  $("drain").setAttribute("aria-pressed", String(state.draining));
  $("drain").textContent = state.draining ? "Let people in again" : "Let nobody new in";
  $("machines").hidden = !state.workers;
  $("workers").replaceChildren(...(state.workers ?? []).map((one) => row([
    String(one.number), one.state, String(one.sessions), String(one.places), one.state === "ready" ? drainer(one.number) : "",
  ])));
  $("networks").replaceChildren(...state.devices.flatMap((device) => Object.entries(device.networks ?? {}).map(([name, one]) => row([
    name, one.label, String(one.requests),
    Object.entries(one.batches).map(([size, count]) => `${count}×${size}`).join(" "), text(one.ms, "", 1),
  ]))));
}

async function look() {
  try {
    const answer = await fetch("/admin/state");
    if (!answer.ok) throw new Error((await answer.text()).trim());
    show(await answer.json());
  } catch (error) {
    $("load").textContent = error instanceof TypeError ? "Mien can't be reached" : String(error.message);
  }
}

$("drain").onclick = async () => {
  const draining = $("drain").getAttribute("aria-pressed") === "true";
  await fetch("/admin/drain", { method: draining ? "DELETE" : "POST" });
  look();
};
setInterval(() => document.visibilityState === "visible" && look(), EVERY_MS);
look();
