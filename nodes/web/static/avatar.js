// A 3D avatar in the picture's place: chosen or dropped here, or as the engine was started; moved by its rigs.

import { $, BASE, check, h, radioKeys } from "./dom.js";
import { isReference } from "./like.js";
import { nodeOf } from "./roles.js";
import { toast } from "./stage.js";

const MOST_MB = 64;
const RETRY_MS = 1000;
const CHOICES = [
  { value: "engine", label: "As started" }, // where the engine has one
  { value: "picture", label: "Picture" },
  { value: "head", label: "3D head" },
  { value: "file", label: "VRM file…" },
];
const HEAD = { name: "the head", url: "/static/avatar/head.vrm" };
const OURS = { name: "the engine's avatar", url: `${BASE}avatar` };

const root = document.documentElement;

/** Fires "change" when a figure comes or goes. */
export class AvatarView extends EventTarget {
  /** @type {import("./figure.js").Figure|null} */ figure = null;
  #turn = 0; // of what was chosen: an older one that is still loading gives way
  #given = false; // the engine's own was taken up, or something was chosen here
  /** @type {WebSocket|null} */ #line = null;

  /** @param {import("./parameters.js").Parameters} parameters */
  constructor(parameters) {
    super();
    $("figure-choice").append(...CHOICES.map(({ value, label }) => h("button", {
      type: "button", role: "radio", "data-figure-choice": value, "aria-checked": "false", onclick: () => this.choose(value),
    }, label)));
    radioKeys($("figure-choice"));
    const ours = $("figure-choice").firstChild;
    ours.hidden = ours.disabled = true;
    check($("figure-choice"), "data-figure-choice", "picture");
    $("figure-file").addEventListener("change", () => {
      const [file] = $("figure-file").files;
      $("figure-file").value = ""; // the same file may be chosen again
      if (file) this.#show("file", { name: file.name, file });
    });
    document.addEventListener("dragover", (event) => event.preventDefault());
    document.addEventListener("drop", (event) => {
      event.preventDefault(); // else the browser leaves the page for the file
      const file = event.dataTransfer?.files[0];
      if (file && !isReference(file)) this.#show("file", { name: file.name, file });
    });
    new ResizeObserver(() => this.figure?.resize()).observe($("figure").parentElement);
    const asked = new URLSearchParams(location.search).get("avatar");
    if (asked) this.choose(asked === "head" ? "head" : "picture");
    parameters.addEventListener("change", () => {
      ours.hidden = ours.disabled = !parameters.value(nodeOf("avatar"), "file");
      if (!this.#given && !ours.hidden) this.choose("engine");
    });
  }

  /** @param {string} value "engine", "picture", "head", or "file", which asks for one */
  choose(value) {
    if (value === "file") $("figure-file").click();
    else if (value === "head") this.#show("head", HEAD);
    else if (value === "engine") this.#show("engine", OURS);
    else this.#clear();
  }

  /** The figure as a picture, at once. @returns {HTMLCanvasElement} */
  drawn() {
    this.figure?.drawNow();
    return $("figure");
  }

  /** The figure as a film, with the sound of a stream. @param {MediaStream} sound */
  filmed(sound) {
    return new MediaStream([...$("figure").captureStream().getVideoTracks(), ...sound.getAudioTracks()]);
  }

  async #show(choice, { name, url = "", file = null }) {
    this.#given = true;
    const turn = ++this.#turn;
    root.dataset.figure = "loading";
    try {
      if (file && file.size > MOST_MB << 20) throw new Error(`it has over ${MOST_MB} MB; make its pictures smaller`);
      const [bytes, { Figure }] = await Promise.all([file ? file.arrayBuffer() : fetched(url), import("./figure.js")]);
      if (turn !== this.#turn) return;
      this.#clear(turn);
      const canvas = $("figure");
      canvas.hidden = false; // one that isn't laid out has no size
      const figure = await Figure.of(canvas, bytes);
      if (turn !== this.#turn) return figure.dispose();
      this.figure = figure;
    } catch (error) {
      if (turn !== this.#turn) return;
      this.#clear();
      toast(`${name} can't be shown: ${error.message}`, "error");
      return;
    }
    root.dataset.figure = "shown";
    check($("figure-choice"), "data-figure-choice", choice);
    this.#listen();
    this.dispatchEvent(new Event("change"));
  }

  /** Back to the picture. */
  #clear(turn = ++this.#turn) {
    this.#given = true;
    this.#turn = turn;
    this.#line?.close();
    this.#line = null;
    this.figure?.dispose();
    this.figure = null;
    // What drew on a canvas keeps it: the next figure gets a fresh one.
    const canvas = $("figure");
    canvas.replaceWith(h("canvas", { id: "figure", hidden: true, "aria-label": canvas.getAttribute("aria-label") }));
    root.dataset.figure = "";
    check($("figure-choice"), "data-figure-choice", "picture");
    this.dispatchEvent(new Event("change"));
  }

  /** Have the engine's rigs while there is a figure. */
  #listen() {
    const { figure } = this;
    if (!figure) return;
    const line = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${BASE}rig`);
    line.binaryType = "arraybuffer";
    line.onmessage = ({ data }) => {
      if (typeof data === "string") figure.expect(JSON.parse(data).names);
      else figure.wear(new Float32Array(data));
    };
    line.onclose = () => this.#line === line && setTimeout(() => this.#line === line && this.#listen(), RETRY_MS);
    this.#line = line;
  }
}

async function fetched(url) {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error((await answer.text()).trim());
  return answer.arrayBuffer();
}
