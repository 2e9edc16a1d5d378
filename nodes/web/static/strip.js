// The live strip: a few figures from the engine's metrics, and their last two minutes.

import { $, h, say, svg } from "./dom.js";
import { nodeOf } from "./roles.js";

const HISTORY = 480; // snapshots, four a second: two minutes
const NOTHING = { latency: null, p95: null, drops: null, drift: null };
const FIGURES = [
  { id: "device", label: "Computes on", unit: "", title: "What runs the networks that draw the face; each part's is under What runs where" },
  { id: "latency", label: "Latency", unit: "ms", title: "From the camera's picture reaching the engine to the avatar leaving it, encoded: half are quicker than this" },
  { id: "fps", label: "Pictures", unit: "/s", title: "Avatar pictures a second that arrive here" },
  { id: "drops", label: "Dropped", unit: "", title: "Pictures replaced by a newer one since the start; a few are how latency stays low" },
  { id: "drift", label: "Sound", unit: "ms", title: "How far the sound is ahead (+) or behind (−) the lips" },
  { id: "size", label: "Size", unit: "", title: "Size of the returned picture" },
];

export class Strip {
  #cells = {};
  #history = /** @type {number[]} */ ([]);

  constructor() {
    for (const { id, label, unit, title } of FIGURES) {
      const value = h("b", { id: `figure-${id}`, "data-figure": id }, "–");
      const extra = h("small", {}, unit);
      this.#cells[id] = { value, extra };
      $("figures").append(h("div", { class: "figure", title }, h("dt", {}, label), h("dd", {}, value, " ", extra)));
    }
    $("figures").prepend(h("div", { class: "figure", title: "How loud your microphone is" },
      h("dt", {}, "Microphone"),
      h("dd", {}, h("span", { id: "meter", class: "meter", role: "meter", "aria-label": "Microphone level", "aria-valuemin": 0, "aria-valuemax": 100 }), h("small", { id: "meter-word" }))));
    this.line = svg("polyline", { class: "spark-line", fill: "none" });
    this.area = svg("polygon", { class: "spark-area" });
    this.label = h("span", { class: "spark-label" });
    $("spark").append(
      svg("svg", { viewBox: `0 0 ${HISTORY} 100`, preserveAspectRatio: "none", role: "img", "aria-label": "Latency over the last two minutes" },
        this.area, this.line),
      this.label);
  }

  /** @param {Record<string, any>} snapshot @param {{width: number, height: number, fps: number, frames: number}} received */
  show(snapshot, received) {
    const figures = received.frames ? read(snapshot) : NOTHING;
    const data = document.documentElement.dataset;
    const put = (id, text, raw) => {
      say(this.#cells[id].value, text);
      data[id] = raw === null ? "" : String(raw);
    };
    const { latency, p95, drops, drift } = figures;
    const fps = received.fps || null;
    put("latency", latency === null ? "–" : latency.toFixed(0), latency);
    data.latencyP95 = p95 === null ? "" : String(p95);
    say(this.#cells.latency.extra, p95 === null ? "ms" : `ms · 95 % under ${p95.toFixed(0)}`);
    put("fps", fps === null ? "–" : fps.toFixed(1), fps);
    put("drops", drops === null ? "–" : drops.toLocaleString("en"), drops);
    put("drift", drift === null ? "–" : signed(Math.round(drift)), drift);
    const size = received.width ? `${received.width}×${received.height}` : "";
    put("size", size || "–", size);
    data.frames = String(received.frames);
    const [device, runtime] = computes(snapshot);
    say(this.#cells.device.value, device || "–");
    say(this.#cells.device.extra, runtime);
    this.#draw(latency);
  }

  #draw(latency) {
    this.#history.push(latency ?? NaN);
    if (this.#history.length > HISTORY) this.#history.shift();
    const known = this.#history.filter((value) => !Number.isNaN(value));
    const top = Math.max(40, ...known) * 1.5; // room for the words above the line
    const from = HISTORY - this.#history.length;
    const points = this.#history
      .map((value, i) => (Number.isNaN(value) ? "" : `${from + i},${(100 - (value / top) * 100).toFixed(1)}`))
      .filter(Boolean);
    this.line.setAttribute("points", points.join(" "));
    const first = points[0]?.split(",")[0];
    const last = points[points.length - 1]?.split(",")[0];
    this.area.setAttribute("points", points.length > 1 ? `${first},100 ${points.join(" ")} ${last},100` : "");
    say(this.label, known.length ? `latency, 2 min · at most ${Math.max(...known).toFixed(0)} ms` : "");
  }
}

/** The device and what runs the networks there, as the node that draws tells: ["CPU", "OpenVINO 2026.4"]. */
export function computes(snapshot) {
  const nodes = snapshot.nodes ?? {};
  const backend = [nodes[nodeOf("compositor")], ...Object.values(nodes)].find((node) => node?.gauges?.backend)?.gauges.backend;
  if (!backend) return ["", ""];
  const [runtime, ...rest] = backend.split(";")[0].split(/[,(]/).map((part) => part.trim());
  return [/\bCPU\b/.test(backend.split(";")[0]) ? "CPU" : rest.pop() ?? "", runtime];
}

/** The strip's figures out of a snapshot; null where the engine has none yet. */
export function read(snapshot) {
  const ends = snapshot.end_to_end ?? {};
  const end = ends[nodeOf("out")] ?? Object.values(ends)[0];
  const out = snapshot.nodes?.[nodeOf("out")];
  const latency = out?.observed?.capture_to_send ?? end?.latency_ms;
  const drift = Object.entries({ ...out?.gauges }).find(([name]) => name.includes("drift"));
  const number = (value) => (typeof value === "number" && Number.isFinite(value) ? value : null);
  return {
    latency: number(latency?.p50),
    p95: number(latency?.p95),
    drops: dropped(snapshot.edges ?? {}),
    drift: number(drift?.[1]),
  };
}

const signed = (value) => (value > 0 ? `+${value}` : value < 0 ? `−${-value}` : "0");

/** Pictures that never became an avatar: each once, though several nodes missed it. */
function dropped(edges) {
  /** @type {Record<string, number>} */ const bySource = {};
  for (const [edge, counts] of Object.entries(edges)) {
    if (edge.endsWith(".raw")) continue; // the camera's own picture is a spare
    const source = edge.split("->")[0];
    bySource[source] = Math.max(bySource[source] ?? 0, counts.dropped ?? 0);
  }
  const counts = Object.values(bySource);
  return counts.length ? counts.reduce((sum, count) => sum + count, 0) : null;
}
