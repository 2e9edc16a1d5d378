// The line to the engine: requests with answers, pushed metrics and events, reconnecting by itself.

import { BASE, sleep } from "./dom.js";

const RETRY_FIRST_MS = 100;
const RETRY_LAST_MS = 2000;
const ANSWER_WITHIN_MS = 8000;

/** Fires "up", "down" (also while it waits for a place), "died" (down without a goodbye), "metrics" (detail: snapshot), "feelings" (detail: {time_ms, face, voice, both}) and "event" (detail: {level, text}). */
export class EngineLine extends EventTarget {
  up = false;
  /** why there is no place here for this page, or "" */ refused = "";
  /** performance.now() when the line went down, or 0 */
  downSince = performance.now();
  /** @type {WebSocket|null} */ #socket = null;
  #waiting = new Map();
  #next = 1;
  #retry_ms = RETRY_FIRST_MS;

  /** Connect and stay connected until the page goes. */
  async run() {
    for (;;) {
      const again_s = await this.#knock();
      if (again_s) {
        await sleep(again_s * 1000);
        continue;
      }
      await this.#once();
      await sleep(this.#retry_ms);
      // Quick for the first seconds (a process restarts), patient afterwards.
      const away_ms = performance.now() - this.downSince;
      this.#retry_ms = away_ms < 4000 ? RETRY_FIRST_MS : Math.min(this.#retry_ms * 1.5, RETRY_LAST_MS);
    }
  }

  /** Where many share a machine: ask for a place. 0 once there is one, else when to ask again [s]. */
  async #knock() {
    if (BASE === "/") return 0;
    const answer = await fetch(`${BASE}seat`).catch(() => null);
    this.refused = answer?.status === 503 ? (await answer.text()).trim() : "";
    this.dispatchEvent(new Event("down"));
    return this.refused ? Number(answer?.headers.get("Retry-After")) || 2 : 0;
  }

  #once() {
    return new Promise((over) => {
      const scheme = location.protocol === "https:" ? "wss" : "ws";
      const socket = new WebSocket(`${scheme}://${location.host}${BASE}ws`);
      this.#socket = socket;
      socket.onopen = () => {
        this.up = true;
        this.#retry_ms = RETRY_FIRST_MS;
        this.dispatchEvent(new Event("up"));
      };
      socket.onmessage = (message) => this.#take(JSON.parse(message.data));
      socket.onclose = ({ code }) => {
        for (const { fail } of this.#waiting.values()) fail(new Error("the engine went away"));
        this.#waiting.clear();
        const died = this.up && code === 1006;
        if (this.up) {
          this.up = false;
          this.downSince = performance.now();
        }
        this.dispatchEvent(new Event("down"));
        if (died) this.dispatchEvent(new Event("died"));
        over(undefined);
      };
    });
  }

  #take(message) {
    if (["metrics", "feelings", "event"].includes(message.type)) {
      const detail = message.type === "event" ? message : message.data;
      this.dispatchEvent(new CustomEvent(message.type, { detail }));
      return;
    }
    const waiting = this.#waiting.get(message.id);
    if (!waiting) return;
    this.#waiting.delete(message.id);
    if (message.error) waiting.fail(new Error(message.error));
    else waiting.done(message.result);
  }

  /**
   * Ask the engine; rejects with its one line.
   * @param {string} op @param {Record<string, unknown>} [args] @returns {Promise<any>}
   */
  call(op, args = {}) {
    if (!this.up || !this.#socket) return Promise.reject(new Error("the engine can't be reached"));
    const id = this.#next++;
    this.#socket.send(JSON.stringify({ ...args, id, op }));
    return new Promise((done, fail) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(id);
        fail(new Error(`the engine gave no answer to "${op}"`));
      }, ANSWER_WITHIN_MS);
      const settle = (then) => (value) => (clearTimeout(timer), then(value));
      this.#waiting.set(id, { done: settle(done), fail: settle(fail) });
    });
  }
}
