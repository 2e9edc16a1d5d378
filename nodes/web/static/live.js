// The call: the person's camera out to the engine, the avatar back, kept alive through every loss.

import { BASE, recall, remember, sleep } from "./dom.js";
import { VOICE_GOES_ON, capture, explain } from "./media.js";
import { Peer } from "./peer.js";
import { nodeOf } from "./roles.js";

const SEND_BPS = 2_500_000;
const LONGEST_PX = 1920; // until the engine says what it asks for
const SILENT_MS = 3000; // no packet for so long means that the path is dead
const COOLDOWN_MS = 6000;
const FOLLOW_WITHIN_MS = 1000;

/** Fires "change" when anything a person should see did. */
export class Call extends EventTarget {
  /** @type {MediaStream|null} */ camera = null;
  /** @type {MediaStream} */ returned = new MediaStream();
  phase = /** @type {"idle"|"asking"|"running"} */ ("idle");
  /** @type {{title: string, text: string}|null} */ problem = null;
  notes = /** @type {string[]} */ ([]);
  choice = {
    camera: recall("camera", ""),
    microphone: recall("microphone", ""),
    resolution: recall("resolution", "640x480"),
  };
  muted = false;
  sends = true; // false: the engine has a camera of its own, or this page only watches
  /** what the engine takes of this page's devices; whether either of them does */
  asks = { video: true, audio: true, eitherDoes: false };
  received = { packets: 0, frames: 0, width: 0, height: 0, fps: 0, rtt_ms: 0, lost: 0, changedAt: 0 };
  #longest_px = LONGEST_PX;
  #netPid = 0;
  #kickedAt = 0;
  #foreignSeen = 0;

  constructor() {
    super();
    this.sender = new Peer(`${BASE}session`, (pc) => this.#prepareSender(pc));
    this.viewer = new Peer(`${BASE}whep`, (pc) => this.#prepareViewer(pc));
    for (const peer of [this.sender, this.viewer]) peer.addEventListener("change", () => this.#tell());
    navigator.mediaDevices?.addEventListener?.("devicechange", () => this.#plugged());
  }

  /** Whether no pictures of this page's camera are to be waited for. */
  get unpictured() {
    const filmed = this.camera?.getVideoTracks().some((track) => track.readyState === "live");
    return !this.asks.video || (this.asks.eitherDoes && !filmed);
  }

  async start() {
    if (this.phase !== "idle") return;
    this.problem = null;
    this.notes = [];
    if (this.sends) {
      this.phase = "asking";
      this.#tell();
      if (!(await this.#take())) {
        this.phase = "idle";
        this.#tell();
        return;
      }
      if (this.phase !== "asking") return this.#release();
      this.sender.open();
    }
    this.phase = "running";
    this.viewer.open();
    this.#tell();
  }

  stop() {
    this.phase = "idle";
    this.problem = null;
    this.notes = [];
    this.sender.close();
    this.viewer.close();
    this.#release();
    for (const track of this.returned.getTracks()) this.returned.removeTrack(track);
    this.#forgetReceived();
    this.#tell();
  }

  /** Take another camera, microphone or resolution, without hanging up. */
  async choose(change) {
    Object.assign(this.choice, change);
    for (const [key, value] of Object.entries(change)) remember(key, value);
    if (this.phase === "running" && this.sends) await this.#retake();
    this.#tell();
  }

  /** Send no pictures longer than this; the camera and its own picture stay as they are. */
  async limit(longest_px = LONGEST_PX) {
    if (longest_px === this.#longest_px) return;
    this.#longest_px = longest_px;
    const sender = this.sender.pc?.getSenders().find((each) => each.track?.kind === "video");
    if (!sender) return;
    const parameters = sender.getParameters();
    for (const encoding of parameters.encodings) encoding.scaleResolutionDownBy = this.#scaleDown(sender.track);
    await sender.setParameters(parameters).catch(() => undefined); // the engine scales down what is larger
  }

  #scaleDown(track) {
    const { width = 0, height = 0 } = track?.getSettings() ?? {};
    return Math.max(1, Math.max(width, height) / this.#longest_px);
  }

  mute(muted) {
    this.muted = muted;
    for (const track of this.camera?.getAudioTracks() ?? []) track.enabled = !muted;
  }

  /**
   * Connect anew what the engine forgot, its network process being another one than before; and
   * give way to a newer page that sends: two that both reconnect would fight for ever.
   */
  watch(snapshot) {
    const publisher = snapshot.session?.session?.id;
    const settled = this.sender.state === "connected" || this.sender.pausing;
    const foreign = publisher && this.sender.id && publisher !== this.sender.id;
    this.#foreignSeen = this.phase === "running" && settled && foreign ? this.#foreignSeen + 1 : 0;
    if (this.#foreignSeen > 1) { // a single snapshot may be older than our own connection
      this.stop();
      this.problem = {
        title: "Another page took over",
        text: "Only one camera at a time can be the face. Start here again to take it back.",
      };
      return this.#tell();
    }
    const pid = networkPid(snapshot);
    if (!pid) return;
    const other = this.#netPid && pid !== this.#netPid;
    if (other) this.again();
    this.#netPid = pid;
  }

  again() {
    if (this.phase !== "running") return;
    this.#netPid = 0; // whichever process answers next is the right one
    this.#kickedAt = performance.now();
    const sending = this.sends ? this.sender.again() : Promise.resolve();
    // First the camera, so that what comes back from there is the avatar from the first picture on.
    Promise.race([sending, sleep(FOLLOW_WITHIN_MS)]).then(() => this.phase === "running" && this.viewer.again());
  }

  /** Read what arrives; a path that went silent is made anew. Call it about twice a second. */
  async measure(engineUp) {
    const pc = this.viewer.pc;
    if (!pc || this.viewer.state !== "connected") return;
    const now = performance.now();
    for (const row of (await pc.getStats()).values()) {
      if (row.type === "inbound-rtp" && row.kind === "video") {
        if (row.packetsReceived !== this.received.packets) this.received.changedAt = now;
        this.received.packets = row.packetsReceived;
        this.received.frames = row.framesDecoded ?? 0;
        this.received.lost = row.packetsLost ?? 0;
        this.received.fps = row.framesPerSecond ?? 0;
        this.received.width = row.frameWidth ?? 0;
        this.received.height = row.frameHeight ?? 0;
      }
      if (row.type === "candidate-pair" && row.nominated) {
        this.received.rtt_ms = (row.currentRoundTripTime ?? 0) * 1000;
      }
    }
    const silentSince = Math.max(this.received.changedAt, this.viewer.connectedAt);
    if (engineUp && now - silentSince > SILENT_MS && now - this.#kickedAt > COOLDOWN_MS) {
      this.#kickedAt = now;
      this.viewer.again();
    }
  }

  #forgetReceived() {
    Object.assign(this.received, { packets: 0, frames: 0, width: 0, height: 0, fps: 0 });
  }

  #tell() {
    this.dispatchEvent(new Event("change"));
  }

  async #take() {
    try {
      const { stream, notes } = await capture(this.choice, this.asks);
      this.camera = stream;
      this.notes = notes;
      this.problem = null;
    } catch (error) {
      this.problem = explain(error);
      return false;
    }
    this.mute(this.muted);
    for (const track of this.camera.getVideoTracks()) track.contentHint = "motion";
    for (const track of this.camera.getTracks()) track.addEventListener("ended", () => this.#ended(track));
    return true;
  }

  async #retake() {
    this.#release(); // first: many cameras can be open once only
    if (!(await this.#take())) return this.#tell();
    const senders = this.sender.pc?.getSenders() ?? [];
    for (const track of this.camera?.getTracks() ?? []) {
      const sender = senders.find((each) => each.track?.kind === track.kind);
      if (sender) await sender.replaceTrack(track);
      else this.sender.again();
    }
    this.#tell();
  }

  #release() {
    for (const track of this.camera?.getTracks() ?? []) track.stop();
    this.camera = null;
  }

  #ended(track) {
    if (!this.camera?.getTracks().includes(track)) return;
    if (track.kind === "video" && this.asks.eitherDoes) {
      this.notes = [`The camera went away: ${VOICE_GOES_ON} Plug it in again and it comes back by itself.`];
    } else if (track.kind === "video") {
      this.problem = {
        title: "The camera went away",
        text: "It was unplugged or taken by another program. Plug it in again and it comes back by itself, or choose another below.",
      };
    } else {
      this.notes = ["The microphone went away: plug it in again, or choose another below."];
    }
    this.#tell();
  }

  async #plugged() {
    this.dispatchEvent(new Event("devices"));
    const ended = !this.camera || this.camera.getTracks().some((track) => track.readyState === "ended");
    const gone = ended || (this.asks.video && this.unpictured);
    if (this.phase === "running" && this.sends && gone) await this.#retake();
  }

  async #prepareSender(pc) {
    for (const kind of ["video", "audio"].filter((each) => this.asks[each])) {
      const track = this.camera?.getTracks().find((each) => each.kind === kind);
      const init = { direction: /** @type {const} */ ("sendonly"), streams: this.camera ? [this.camera] : [] };
      const { sender } = pc.addTransceiver(track ?? kind, init);
      if (kind !== "video") continue;
      const parameters = sender.getParameters();
      // Without these Chromium starts with a quarter of the pixels.
      parameters.degradationPreference = "maintain-resolution";
      const scaleResolutionDownBy = this.#scaleDown(track);
      for (const encoding of parameters.encodings) {
        Object.assign(encoding, { maxBitrate: SEND_BPS, scaleResolutionDownBy, maxFramerate: 30 });
      }
      await sender.setParameters(parameters);
    }
  }

  #prepareViewer(pc) {
    this.#forgetReceived();
    for (const kind of ["video", "audio"]) {
      const { receiver } = pc.addTransceiver(kind, { direction: "recvonly" });
      // The newest frame matters, not the smoothest: no buffer where the browser lets us say so.
      if ("jitterBufferTarget" in receiver) receiver.jitterBufferTarget = 0;
      else if ("playoutDelayHint" in receiver) receiver.playoutDelayHint = 0;
    }
    pc.addEventListener("track", ({ track }) => {
      const take = () => {
        if (this.viewer.pc !== pc) return;
        for (const old of this.returned.getTracks()) {
          if (old.kind === track.kind) this.returned.removeTrack(old);
        }
        this.returned.addTrack(track);
        this.dispatchEvent(new Event("returned"));
      };
      // What is shown goes on until something comes instead.
      const shown = this.returned.getTracks().some((old) => old.kind === track.kind && old.readyState === "live");
      if (shown && track.muted) track.addEventListener("unmute", take, { once: true });
      else take();
    });
  }
}

function networkPid(snapshot) {
  const node = snapshot.nodes?.[nodeOf("out")] ?? snapshot.nodes?.[nodeOf("browser")];
  return node ? snapshot.processes?.[node.process]?.pid ?? 0 : 0;
}
