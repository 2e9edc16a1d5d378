// What can be set on the engine: rows by node, changes sent sparingly, newest value first.

const SEND_EVERY_MS = 60;

/** Fires "change" when rows or values did, "refused" (detail: {node, name, line}) on an error. */
export class Parameters extends EventTarget {
  /** @type {Record<string, Array<Record<string, any>>>} */ nodes = {};
  #pending = new Map();
  #busy = new Set();

  /** @param {import("./socket.js").EngineLine} line */
  constructor(line) {
    super();
    this.line = line;
    line.addEventListener("up", () => {
      for (const key of this.#pending.keys()) if (!this.#busy.has(key)) this.#send(key);
      this.refresh();
    });
  }

  /** Ask for everything again: another page or the command line may have changed it. */
  async refresh() {
    let nodes;
    try {
      nodes = await this.line.call("parameters");
    } catch {
      return; // the line is down and says so itself; it calls again when up
    }
    for (const key of [...this.#pending.keys(), ...this.#busy]) {
      const [node, name] = key.split("\n"); // on its way: ours is newer than theirs
      const [theirs, ours] = [find(nodes, node, name), this.row(node, name)];
      if (theirs && ours) theirs.value = ours.value;
    }
    const changed = JSON.stringify(nodes) !== JSON.stringify(this.nodes);
    this.nodes = nodes;
    if (changed) this.dispatchEvent(new Event("change"));
  }

  /** Whether a change is still on its way. */
  get sending() {
    return this.#busy.size + this.#pending.size > 0;
  }

  /** @returns {Record<string, any>|undefined} */
  row(node, name) {
    return find(this.nodes, node, name);
  }

  value(node, name) {
    return this.row(node, name)?.value;
  }

  /** Change it here at once and on the engine soon; only the newest of many values is sent. */
  set(node, name, value) {
    const row = this.row(node, name);
    if (!row) return;
    row.value = value;
    const key = `${node}\n${name}`;
    this.#pending.set(key, value);
    this.dispatchEvent(new Event("change"));
    if (!this.#busy.has(key)) this.#send(key);
  }

  async #send(key) {
    const [node, name] = key.split("\n");
    this.#busy.add(key);
    while (this.#pending.has(key)) {
      const value = this.#pending.get(key);
      this.#pending.delete(key);
      try {
        const taken = await this.line.call("set", { node, parameter: name, value });
        const row = this.row(node, name);
        if (row && !this.#pending.has(key)) row.value = taken ?? value;
        this.#report(node, name, "");
      } catch (error) {
        if (!this.line.up) { // not refused but lost: it is sent when the engine is back
          if (!this.#pending.has(key)) this.#pending.set(key, value);
          break;
        }
        this.#report(node, name, error.message);
        this.#busy.delete(key);
        await this.refresh();
        this.#busy.add(key);
      }
      await new Promise((done) => setTimeout(done, SEND_EVERY_MS));
    }
    this.#busy.delete(key);
    this.dispatchEvent(new Event("change"));
  }

  #report(node, name, line) {
    this.dispatchEvent(new CustomEvent("refused", { detail: { node, name, line } }));
  }
}

function find(nodes, node, name) {
  return nodes[node]?.find((row) => row.name === name);
}
