// "Like this": a picture or a clip whose expression is worn; dropped, pasted, photographed, chosen.

import { $, BASE, h, recall, remember, say } from "./dom.js";
import { FACES, glyph } from "./glyph.js";
import { nodeOf } from "./roles.js";

const GALLERY = ["smile", "laugh", "smirk", "doubt", "sorrow", "anger", "disgust", "wonder"];
const BLENDED_MOST = 4;
const CLIP_MOST_MB = 32;
const SEND_PX = 960; // longer side of a picture that is sent
const THUMB_PX = 96;
const KEPT_PX = 320;
const KEPT_MOST = 8;

/** @typedef {{id: string, name: string, share: number, emotion: string, steps: number, thumb?: string, blob?: Blob}} Worn */

/** Whether a file is a reference rather than an avatar. @param {File} file */
export const isReference = (file) => /^(image|video)\//.test(file.type);

export class LikePanel {
  /** @type {Worn[]} */ worn = [];
  #turn = 0; // of what was chosen: an older one that is still being read gives way
  #adding = Promise.resolve(); // what is blended in comes one after the other

  /**
   * @param {import("./socket.js").EngineLine} line
   * @param {import("./parameters.js").Parameters} parameters
   * @param {() => void} wear puts the editor into this mode
   */
  constructor(line, parameters, wear) {
    this.line = line;
    this.parameters = parameters;
    this.wear = wear;
    $("like-choose").addEventListener("click", () => $("like-file").click());
    for (const input of [$("like-file"), $("like-camera")]) {
      input.addEventListener("change", () => {
        const files = [...input.files];
        input.value = ""; // the same file may be chosen again
        this.take(files);
      });
    }
    $("like-photo").addEventListener("click", () => this.#photograph());
    $("like-clip").addEventListener("change", () => parameters.set(nodeOf("reference"), "clip", $("like-clip").checked ? "mean" : "loop"));
    document.addEventListener("paste", (event) => {
      const files = [...event.clipboardData?.files ?? []].filter(isReference);
      if (!files.length) return;
      event.preventDefault();
      this.take(files);
    });
    const drop = $("like-row");
    document.addEventListener("dragover", () => drop.classList.add("over"));
    for (const over of ["drop", "dragend"]) document.addEventListener(over, () => drop.classList.remove("over"));
    document.addEventListener("dragleave", (event) => event.relatedTarget || drop.classList.remove("over"));
    document.addEventListener("drop", (event) => this.take([...event.dataTransfer?.files ?? []].filter(isReference)));
    line.addEventListener("up", () => this.#meet());
    parameters.addEventListener("change", () => this.show());
    this.#buildGallery();
    this.show();
  }

  /** Read files and wear them. @param {Array<Blob & {name?: string}>} files */
  async take(files) {
    const chosen = files.slice(0, BLENDED_MOST);
    if (!chosen.length) return;
    const turn = ++this.#turn;
    const added = $("like-add").checked;
    document.documentElement.dataset.like = "reading";
    say($("face-error"), "");
    try {
      const read = await Promise.all(chosen.map((file) => this.#read(file)));
      if (added) await (this.#adding = this.#adding.catch(() => undefined).then(() => this.#wear([...this.worn, ...read].slice(-BLENDED_MOST))));
      else if (turn === this.#turn) await this.#wear(read);
    } catch (error) {
      if (turn === this.#turn) say($("face-error"), `${error.message}.`);
    } finally {
      if (turn === this.#turn) document.documentElement.dataset.like = "";
    }
  }

  /** @param {Blob & {name?: string}} file @returns {Promise<Worn>} */
  async #read(file) {
    const name = file.name || "the picture";
    const bitmap = file.type.startsWith("video/") ? null : await createImageBitmap(file).catch(() => null);
    const blob = bitmap ? await shrunk(bitmap, SEND_PX) : file; // what this browser can't read, the engine may
    if (blob.size > CLIP_MOST_MB << 20) throw new Error(`${name} has over ${CLIP_MOST_MB} MB; take a shorter clip`);
    const answer = await fetch(`${BASE}reference`, { method: "POST", body: blob, headers: { "X-Name": encodeURIComponent(bitmap ? `${name.replace(/\.\w+$/, "")}.jpg` : name) } });
    if (!answer.ok) throw new Error((await answer.text()).trim());
    const read = await answer.json();
    if (read.notes.length) say($("face-error"), `${read.notes.join("; ")}.`);
    return { ...read, share: 1, blob, thumb: bitmap ? await dataUrl(await shrunk(bitmap, THUMB_PX)) : "" };
  }

  /** @param {Worn[]} worn */
  async #wear(worn) {
    const told = await this.line.call("wear", { shares: Object.fromEntries(worn.map(({ id, share }) => [id, share])) });
    this.worn = told.map((one) => ({ ...worn.find(({ id }) => id === one.id), ...one }));
    if (this.worn.length) this.wear();
    this.show();
  }

  /** What the engine wears, after a while without it: another page's choice, or ours that it lost. */
  async #meet() {
    try {
      const told = await this.line.call("worn");
      if (!told.length && this.worn.some(({ blob }) => blob)) {
        const again = await Promise.all(this.worn.filter(({ blob }) => blob).map(async (one) =>
          ({ ...await this.#read(Object.assign(one.blob, { name: one.name })), share: one.share, thumb: one.thumb })));
        return await this.#wear(again);
      }
      this.worn = told.map((one) => ({ ...this.worn.find(({ id }) => id === one.id), ...one }));
    } catch {
      this.worn = []; // this graph wears none
    }
    this.show();
  }

  async #photograph() {
    const video = $("self");
    if (!video.videoWidth) return $("like-camera").click(); // a telephone asks its own camera
    const bitmap = await createImageBitmap(video);
    this.take([Object.assign(await shrunk(bitmap, SEND_PX), { name: "photograph.jpg" })]);
  }

  /** How much of one comes. @param {Worn} one */
  #share(one) {
    const slider = h("input", { type: "range", min: 0.05, max: 1, step: 0.05, value: one.share, "aria-label": `Share of ${one.name}` });
    const fill = () => slider.style.setProperty("--part", `${(((slider.value - 0.05) / 0.95) * 100).toFixed(0)}%`);
    slider.addEventListener("input", fill);
    slider.addEventListener("change", () =>
      this.#change(this.worn.map((each) => (each.id === one.id ? { ...each, share: Number(slider.value) } : each))));
    fill();
    return slider;
  }

  #change(worn) {
    this.#wear(worn).catch((error) => say($("face-error"), `${error.message}.`));
  }

  #keep(one) {
    const kept = recall("references", []);
    createImageBitmap(one.blob).then((bitmap) => shrunk(bitmap, KEPT_PX)).then(dataUrl).then((url) => {
      remember("references", [...kept, { name: one.name, url }].slice(-KEPT_MOST));
      this.#buildGallery();
    });
  }

  #buildGallery() {
    const shown = GALLERY.map((name) => ({ name, url: `/static/references/${name}.jpg`, kept: false }));
    const kept = recall("references", []).map((one) => ({ ...one, kept: true }));
    $("like-gallery").replaceChildren(...[...shown, ...kept].map(({ name, url, kept: own }, place) => h("div", { class: "like-item" },
      h("button", { type: "button", class: "like-face", "data-like": name, title: name, onclick: () => this.#fetch(name, url) },
        h("img", { src: url, alt: name, width: 64, height: 64, loading: "lazy" })),
      own ? h("button", { type: "button", class: "like-drop", "aria-label": `Forget ${name}`, title: "Forget", onclick: () => {
        remember("references", recall("references", []).filter((_, nth) => nth !== place - GALLERY.length));
        this.#buildGallery();
      } }, "×") : "")));
  }

  async #fetch(name, url) {
    const blob = await (await fetch(url)).blob().catch(() => null);
    if (blob) this.take([Object.assign(blob, { name: name.includes(".") ? name : `${name}.jpg` })]);
  }

  /** Draw what is worn. */
  show() {
    const row = this.parameters.row(nodeOf("reference"), "clip");
    $("like-clip-row").hidden = !row || !this.worn.some(({ steps }) => steps > 1);
    if (row) $("like-clip").checked = row.value === "mean";
    document.documentElement.dataset.worn = this.worn.map(({ emotion }) => emotion).join(" ");
    for (const face of document.querySelectorAll("[data-like]")) {
      face.setAttribute("aria-pressed", String(this.worn.some(({ name }) => name.replace(/\.jpg$/, "") === face.dataset.like)));
    }
    const key = JSON.stringify(this.worn.map(({ id }) => id));
    if ($("like-worn").dataset.key === key) return;
    $("like-worn").dataset.key = key;
    const blended = this.worn.length > 1;
    $("like-worn").replaceChildren(...this.worn.map((one) => h("li", { "data-worn": one.id },
      one.thumb ? h("img", { src: one.thumb, alt: "", width: 44, height: 44 }) : glyph(FACES[one.emotion] ?? FACES.neutral),
      h("span", { title: one.name }, h("b", {}, one.name.replace(/\.\w+$/, "")), h("small", {}, one.emotion)),
      blended ? this.#share(one) : "",
      one.thumb && !GALLERY.includes(one.name.replace(/\.jpg$/, "")) ? h("button", { type: "button", class: "small", title: "Keep it in this browser", onclick: () => this.#keep(one) }, "Keep") : "",
      h("button", { type: "button", class: "small", "aria-label": `Leave out ${one.name}`, title: "Leave out", onclick: () => this.#change(this.worn.filter(({ id }) => id !== one.id)) }, "×"))));
  }
}

/** A picture whose longer side is at most so long. @param {ImageBitmap} bitmap @param {number} longest @returns {Promise<Blob>} */
function shrunk(bitmap, longest) {
  const scale = Math.min(1, longest / Math.max(bitmap.width, bitmap.height));
  const canvas = h("canvas", { width: Math.max(1, Math.round(bitmap.width * scale)), height: Math.max(1, Math.round(bitmap.height * scale)) });
  const pen = /** @type {HTMLCanvasElement} */ (canvas).getContext("2d");
  pen.fillStyle = "#fff"; // transparent parts, as the engine has them
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  return new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.92));
}

/** @param {Blob} blob @returns {Promise<string>} */
function dataUrl(blob) {
  return new Promise((done) => {
    const reader = new FileReader();
    reader.onload = () => done(String(reader.result));
    reader.readAsDataURL(blob);
  });
}
