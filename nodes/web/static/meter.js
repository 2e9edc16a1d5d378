// The microphone's level as it comes, so that a silent one is seen before anybody says so.

import { $, say } from "./dom.js";

const EVERY_MS = 120;
const FLOOR_DB = -60; // nothing is drawn below; a room's own noise lies about here
const FALL = 0.18; // of the whole scale, each time: quick up, slow down
const SILENT_MS = 4000;

/** Listens to the call's own microphone; what an engine's own hears isn't known here. */
export class Meter {
  #track = /** @type {MediaStreamTrack|null} */ (null);
  #context = /** @type {AudioContext|null} */ (null);
  #source = /** @type {MediaStreamAudioSourceNode|null} */ (null);
  #level = 0;
  #heardAt = 0;

  /** @param {import("./live.js").Call} call */
  constructor(call) {
    this.call = call;
    call.addEventListener("change", () => this.#follow());
    setInterval(() => this.#measure(), EVERY_MS);
    this.#show("–");
  }

  #follow() {
    const track = this.call.camera?.getAudioTracks()[0] ?? null;
    if (track === this.#track) return;
    this.#track = track;
    this.#source?.disconnect();
    this.#source = null;
    this.#level = 0;
    this.#heardAt = performance.now();
    if (!track) return this.#show(this.call.phase === "running" && this.call.sends ? "none" : "–");
    this.#context ??= new AudioContext();
    this.#context.resume();
    this.analyser ??= this.#context.createAnalyser();
    this.#source = this.#context.createMediaStreamSource(new MediaStream([track]));
    this.#source.connect(this.analyser);
  }

  #measure() {
    if (!this.#source || document.visibilityState === "hidden") return;
    const samples = new Float32Array(this.analyser.fftSize);
    this.analyser.getFloatTimeDomainData(samples);
    const rms = Math.sqrt(samples.reduce((sum, value) => sum + value * value, 0) / samples.length);
    const decibel = 20 * Math.log10(rms + 1e-9);
    const now = Math.min(1, Math.max(0, 1 - decibel / FLOOR_DB));
    this.#level = Math.max(now, this.#level - FALL);
    if (this.#level > 0) this.#heardAt = performance.now();
    const silent = performance.now() - this.#heardAt > SILENT_MS;
    this.#show(this.#track?.enabled === false ? "muted" : silent ? "silent" : "");
  }

  #show(word) {
    const meter = $("meter");
    meter.style.setProperty("--level", this.#level.toFixed(2));
    meter.setAttribute("aria-valuenow", String(Math.round(this.#level * 100)));
    meter.setAttribute("aria-valuetext", word && word !== "–" ? word : `${Math.round(this.#level * 10) * 10} percent`);
    document.documentElement.dataset.microphone = word || "heard";
    say($("meter-word"), word === "–" ? "" : word);
  }
}
