// Files from the avatar: a recording with its sound, a picture.

const TYPES = [
  ["video/mp4;codecs=avc1.42E01F,mp4a.40.2", "mp4"],
  ["video/mp4;codecs=avc1.42E01F,opus", "mp4"],
  ["video/webm;codecs=vp9,opus", "webm"],
  ["video/webm;codecs=vp8,opus", "webm"],
  ["video/webm", "webm"],
  ["video/mp4", "mp4"],
];

/** Fires "change" when recording starts or ends, "saved" (detail: {name, bytes, seconds}). */
export class Recorder extends EventTarget {
  /** @type {MediaRecorder|null} */ #recorder = null;
  #startedAt = 0;

  get active() {
    return this.#recorder !== null;
  }

  get seconds() {
    return this.active ? (performance.now() - this.#startedAt) / 1000 : 0;
  }

  /** Record until `stop`, or until a track ends. @param {MediaStream} stream */
  start(stream) {
    const type = TYPES.find(([name]) => MediaRecorder.isTypeSupported(name));
    if (!type) throw new Error("this browser can't record; a recent Chrome, Edge, Firefox or Safari can");
    // A stream of its own: the page's changes its tracks when it reconnects.
    const recorder = new MediaRecorder(new MediaStream(stream.getTracks()), {
      mimeType: type[0], videoBitsPerSecond: 6_000_000, audioBitsPerSecond: 128_000,
    });
    const parts = [];
    recorder.ondataavailable = ({ data }) => data.size && parts.push(data);
    recorder.onstop = () => {
      const { seconds } = this;
      const blob = new Blob(parts, { type: type[0].split(";")[0] });
      const name = `mien-${stamp()}.${type[1]}`;
      this.#recorder = null;
      download(blob, name);
      this.dispatchEvent(new CustomEvent("saved", { detail: { name, bytes: blob.size, seconds } }));
      this.dispatchEvent(new Event("change"));
    };
    recorder.onerror = () => this.stop(); // what there is is saved
    recorder.start(1000);
    this.#recorder = recorder;
    this.#startedAt = performance.now();
    this.dispatchEvent(new Event("change"));
  }

  stop() {
    if (this.#recorder && this.#recorder.state !== "inactive") this.#recorder.stop();
  }
}

/** Save the picture as it is sent, unmirrored. @param {HTMLVideoElement|HTMLCanvasElement} shown */
export async function snapshot(shown) {
  const canvas = document.createElement("canvas");
  const drawn = shown instanceof HTMLCanvasElement;
  canvas.width = drawn ? shown.width : shown.videoWidth;
  canvas.height = drawn ? shown.height : shown.videoHeight;
  canvas.getContext("2d")?.drawImage(shown, 0, 0);
  const blob = await new Promise((done) => canvas.toBlob(done, "image/png"));
  if (!blob) throw new Error("there is no picture to save yet");
  const name = `mien-${stamp()}.png`;
  download(blob, name);
  return name;
}

export function clock(seconds) {
  const whole = Math.floor(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

function download(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

function stamp() {
  const now = new Date();
  const two = (value) => String(value).padStart(2, "0");
  return `${now.getFullYear()}-${two(now.getMonth() + 1)}-${two(now.getDate())}-${two(now.getHours())}${two(now.getMinutes())}${two(now.getSeconds())}`;
}
