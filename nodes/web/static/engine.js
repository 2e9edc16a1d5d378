// "What runs where": a bar for each node, the processes, the latest events.

import { $, h, say } from "./dom.js";
import { nodeWords, processWords } from "./words.js";

const HIDDEN_GAUGES = /^(backend|url|size|target_|publishers|face_box|other_boxes)/;

export class EnginePanel {
  #rows = new Map();

  /** @param {(process: string) => void} restart */
  constructor(restart) {
    this.restart = restart;
  }

  /** @param {Record<string, any>} snapshot */
  show(snapshot) {
    const nodes = Object.entries(snapshot.nodes ?? {});
    const restarts = Object.values(snapshot.processes ?? {}).reduce((sum, each) => sum + (each.restarts ?? 0), 0);
    document.documentElement.dataset.restarts = String(restarts);
    const processes = Object.keys(snapshot.processes ?? {}).length;
    say($("engine-note"), nodes.length ? `${plural(nodes.length, "node")} in ${plural(processes, "process", "es")} · ${plural(restarts, "restart")}` : "");
    if (!$("d-engine").open) return;
    this.#nodes(nodes);
    this.#processes(Object.entries(snapshot.processes ?? {}));
    const events = tally(snapshot.events ?? []).slice(-8).reverse();
    const key = JSON.stringify(events);
    if ($("events").dataset.key !== key) {
      $("events").dataset.key = key;
      $("events").replaceChildren(...(events.length
        ? events.map((event) => h("li", { "data-level": event.level }, event.text))
        : [h("li", {}, "Nothing to tell.")]));
    }
  }

  #nodes(nodes) {
    // A round scale, so that the bars don't dance with every sample.
    const longest = Math.max(1, ...nodes.map(([, node]) => work(node).p95 ?? 0));
    const scale = [2, 5, 10, 20, 35, 50, 100, 200, 500, 1000].find((each) => each >= longest) ?? longest;
    for (const [name, node] of nodes) {
      const row = this.#rows.get(name) ?? this.#row(name);
      const { p50 = null, p95 = null } = work(node);
      row.bar.style.setProperty("--p50", String(Math.min(1, (p50 ?? 0) / scale)));
      row.bar.style.setProperty("--p95", String(Math.min(1, (p95 ?? 0) / scale)));
      const [condition, text] = node.status ?? ["ok", ""];
      row.root.dataset.condition = condition;
      say(row.time, p50 === null ? "–" : `${p50.toFixed(1)} ms`);
      row.bar.setAttribute("aria-label", p50 === null ? "no timing yet"
        : `half within ${p50.toFixed(1)} ms, 95 percent within ${(p95 ?? p50).toFixed(1)} ms`);
      const facts = [processWords(node.process), `${(node.fps_out || node.fps_in || 0).toFixed(0)}/s`];
      if (node.gauges?.backend) facts.splice(1, 0, node.gauges.backend);
      for (const [gauge, value] of Object.entries(node.gauges ?? {})) {
        if (!HIDDEN_GAUGES.test(gauge)) facts.push(fact(gauge, value));
      }
      if (node.errors) facts.push(plural(node.errors, "error"));
      if (node.restarts) facts.push(plural(node.restarts, "restart"));
      say(row.facts, facts.join(" · "));
      say(row.status, condition === "ok" ? "" : text || condition);
    }
  }

  #row(name) {
    const bar = h("div", { class: "bar", role: "img" }, h("i", { class: "bar-fill" }), h("i", { class: "bar-whisker" }));
    const [time, facts, status] = [h("span", { class: "node-time" }), h("p", { class: "node-facts" }), h("p", { class: "node-status" })];
    const root = h("div", { class: "node", "data-node": name }, h("b", { title: name }, nodeWords(name)), bar, time, facts, status);
    const row = { root, bar, time, facts, status };
    $("nodes").append(root);
    this.#rows.set(name, row);
    return row;
  }

  #processes(processes) {
    const key = processes.map(([name]) => name).join();
    const list = $("processes");
    if (list.dataset.key !== key) {
      list.dataset.key = key;
      list.replaceChildren(...processes.map(([name]) => h("div", { class: "process", "data-process": name },
        h("b", { title: name }, processWords(name)), h("span"),
        name === "supervisor" ? "" : h("button", { type: "button", class: "small", "aria-label": `Restart: ${processWords(name)}`, onclick: () => this.restart(name) }, "Restart"))));
    }
    for (const [name, each] of processes) {
      const row = [...list.children].find((item) => item.dataset.process === name);
      say(row.children[1], [
        each.state, `pid ${each.pid}`, each.host,
        `${Math.round(each.rss_mb ?? 0)} MB`, `${Math.round(each.cpu_percent ?? 0)} % CPU`,
        plural(each.restarts ?? 0, "restart"),
        each.hangs ? plural(each.hangs, "hang") : "",
        each.refused ? `${each.refused} refused` : "",
      ].filter(Boolean).join(" · "));
    }
  }
}

/** The same event over and over is one line with a count. */
function tally(events) {
  const lines = [];
  for (const { level, text } of events) {
    const last = lines[lines.length - 1];
    if (last?.said === text) last.count += 1;
    else lines.push({ level, said: text, count: 1 });
  }
  return lines.map(({ level, said, count }) => ({ level, text: count > 1 ? `${said} (${count} times)` : said }));
}

/** Where a node's work is: an encoder's thread, a receiver's, else its own compute. */
function work(node) {
  return node.observed?.encode ?? node.observed?.receive ?? node.process_ms ?? {};
}

/** "rtt_ms", 3.2 -> "rtt 3.2 ms" */
function fact(name, value) {
  const [, words, unit] = /^(.*?)(?:_(ms|kbps|fps|mb|hz|px))?$/.exec(name) ?? [];
  const shown = typeof value === "number" ? Math.round(value * 10) / 10 : value;
  return `${words.replace(/_/g, " ")} ${shown}${unit ? ` ${unit}` : ""}`;
}

function plural(count, word, tail = "s") {
  return `${count} ${word}${count === 1 ? "" : tail}`;
}
