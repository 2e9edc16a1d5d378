// One WebRTC connection made by posting SDP (WHIP, WHEP): connects, notices loss, connects again.

import { sleep } from "./dom.js";

const RETRY_FIRST_MS = 200;
const RETRY_LOST_MS = 600; // long enough to hear from the engine why it was lost
const RETRY_LAST_MS = 2000;
const KNOCK_MS = 100;
const GATHER_WITHIN_MS = 1000;
const ANSWER_WITHIN_MS = 5000;
const CONNECT_WITHIN_MS = 5000;
const DISCONNECTED_GRACE_MS = 1200;
const OVERLAP_MS = 500; // pictures that are on their way still come

/** Fires "change" whenever `state`, `problem` or `pc` did. */
export class Peer extends EventTarget {
  /** @type {RTCPeerConnection|null} */ pc = null;
  /** @type {"closed"|"connecting"|"connected"} */ state = "closed";
  /** STUN and TURN servers that the engine names @type {RTCIceServer[]} */ iceServers = [];
  /** one line on why the last try failed, or "" */ problem = "";
  reconnects = 0;
  connectedAt = 0;
  /** between two tries */ pausing = false;
  #wanted = false;
  #loop = Promise.resolve();
  #location = "";
  #id = "";
  #lose = () => {};
  #wake = () => {};
  #arrived = () => {};
  /** what goes on until its successor is connected @type {{pc: RTCPeerConnection, location: string}|null} */ #former = null;
  #hurry = false;
  #triedSince = 0;

  /**
   * @param {string} path where the offer is posted
   * @param {(pc: RTCPeerConnection) => void | Promise<void>} prepare adds tracks or transceivers
   */
  constructor(path, prepare) {
    super();
    this.path = path;
    this.prepare = prepare;
  }

  /** What the server calls the newest connection, "" before the first. */
  get id() {
    return this.#id;
  }

  /** Connect, and again whenever the connection is lost, until `close`. */
  open() {
    if (this.#wanted) return;
    this.#wanted = true;
    this.#loop = this.#loop.then(() => this.#run());
  }

  async #run() {
    let delay_ms = RETRY_FIRST_MS;
    while (this.#wanted) {
      this.#set("connecting");
      try {
        const { lost } = await this.#connect();
        this.#hurry = false;
        delay_ms = RETRY_FIRST_MS;
        this.connectedAt = performance.now();
        this.#set("connected", "");
        this.#arrived();
        const former = this.#former;
        if (former) sleep(OVERLAP_MS).then(() => this.#former === former && this.#endFormer());
        await lost;
        if (this.#hurry && this.#wanted) this.#keep();
        if (this.#wanted) this.reconnects += 1;
        delay_ms = RETRY_LOST_MS;
      } catch (error) {
        this.problem = error.message;
      }
      this.#drop();
      if (!this.#wanted) break;
      delay_ms = (await this.#pause(delay_ms)) ? RETRY_FIRST_MS : Math.min(delay_ms * 1.5, RETRY_LAST_MS);
    }
    this.#set("closed");
  }

  /** Make a new connection at once; what there is goes on until then. Resolves when it is connected. */
  again() {
    const arrived = new Promise((done) => (this.#arrived = () => done(undefined)));
    this.#hurry = true;
    this.#lose();
    this.#wake();
    return arrived;
  }

  /** End it, here and on the server; safe while the page is being closed. */
  close() {
    this.#wanted = false;
    this.#hurry = false;
    this.#lose();
    this.#wake();
    this.#drop();
    this.#endFormer();
  }

  /** Wait between two tries, unless somebody is in a hurry: then true. */
  async #pause(delay_ms) {
    if (this.#hurry) return !(this.#hurry = false);
    this.pausing = true;
    this.#set("connecting");
    const woken = new Promise((wake) => (this.#wake = () => wake(undefined)));
    const early = await Promise.race([sleep(delay_ms).then(() => false), woken.then(() => true)]);
    this.pausing = this.#hurry = false;
    return early;
  }

  #set(state, problem = this.problem) {
    this.state = state;
    this.problem = problem;
    this.dispatchEvent(new Event("change"));
  }

  #drop() {
    end(this.pc, this.#location);
    this.pc = null;
    this.#location = "";
  }

  #keep() {
    this.#endFormer();
    this.#former = this.pc && { pc: this.pc, location: this.#location };
    this.pc = null;
    this.#location = "";
  }

  #endFormer() {
    end(this.#former?.pc, this.#former?.location);
    this.#former = null;
  }

  /**
   * Offer again and again while nobody listens: the gathered offer stays good meanwhile. Where we may
   * have been sent to a machine that can't be reached from here, we ask to be handed through.
   */
  async #post(pc) {
    for (let path = this.path; ; ) {
      try {
        return await post(path, pc.localDescription?.sdp ?? "");
      } catch (error) {
        if (!(error instanceof Unreachable)) throw error;
        if (!error.late) path = `${this.path}?through`;
        this.#set("connecting", error.message);
        await sleep(performance.now() - this.#triedSince < 4000 ? KNOCK_MS : RETRY_LAST_MS);
        if (!this.#wanted || this.pc !== pc) throw new Error("closed meanwhile");
      }
    }
  }

  async #connect() {
    this.#triedSince = performance.now();
    const pc = new RTCPeerConnection({ bundlePolicy: "max-bundle", iceServers: this.iceServers });
    this.pc = pc;
    const lost = new Promise((lose) => {
      this.#lose = () => lose(undefined);
      pc.addEventListener("connectionstatechange", () => {
        if (pc.connectionState === "failed" || pc.connectionState === "closed") lose(undefined);
        if (pc.connectionState !== "disconnected") return;
        setTimeout(() => pc.connectionState === "disconnected" && lose(undefined), DISCONNECTED_GRACE_MS);
      });
    });
    await this.prepare(pc);
    await pc.setLocalDescription();
    await Promise.race([gathered(pc), sleep(GATHER_WITHIN_MS)]);
    const answer = await this.#post(pc);
    this.#location = answer.location;
    this.#id = answer.location.split("/").pop() ?? "";
    if (!this.#wanted || this.pc !== pc) throw new Error("closed meanwhile");
    await pc.setRemoteDescription({ type: "answer", sdp: answer.sdp });
    const outcome = await Promise.race([
      connected(pc).then(() => "connected"),
      lost.then(() => "lost"),
      sleep(CONNECT_WITHIN_MS).then(() => "late"),
    ]);
    if (outcome !== "connected") {
      throw new Error("no path for the picture: a firewall may block UDP between this browser and the engine");
    }
    return { lost }; // wrapped: an async function would wait for it
  }
}

/** "stun:host:port, turn:host:port?user=U&password=P" as the browser wants it. @param {string} text */
export function iceServers(text) {
  return text.split(/[\s,]+/).filter(Boolean).map((item) => {
    const [urls, query = ""] = item.split("?");
    const fields = new URLSearchParams(query);
    const transport = fields.get("transport");
    return {
      urls: transport ? `${urls}?transport=${transport}` : urls,
      ...(fields.has("user") && { username: fields.get("user") ?? "", credential: fields.get("password") ?? "" }),
    };
  });
}

/** Nobody listens there: the engine is starting, or gone. */
class Unreachable extends Error {
  /** no answer, rather than no way there */ late = false;
}

/** @param {RTCPeerConnection|null|undefined} pc @param {string} [location] what the server calls it */
function end(pc, location) {
  // keepalive lets it through while the page unloads; a server that is gone needs no word.
  if (location) fetch(location, { method: "DELETE", keepalive: true }).catch(() => undefined);
  pc?.close();
}

function gathered(pc) {
  return new Promise((done) => {
    const look = () => pc.iceGatheringState === "complete" && done(undefined);
    pc.addEventListener("icegatheringstatechange", look);
    look();
  });
}

function connected(pc) {
  return new Promise((done) => {
    const look = () => pc.connectionState === "connected" && done(undefined);
    pc.addEventListener("connectionstatechange", look);
    look();
  });
}

/** Post an offer. @returns {Promise<{sdp: string, location: string}>} */
async function post(path, sdp) {
  let response;
  try {
    response = await fetch(path, {
      method: "POST",
      headers: { "Content-Type": "application/sdp" },
      body: sdp,
      signal: AbortSignal.timeout(ANSWER_WITHIN_MS),
    });
  } catch (error) {
    const unreachable = new Unreachable("the engine can't be reached");
    unreachable.late = error.name === "TimeoutError";
    throw unreachable;
  }
  const text = await response.text();
  if (response.status === 401 || response.status === 403) {
    throw new Error("the engine asks for its token: open the link that it printed when it started");
  }
  if (!response.ok) {
    const line = text.trim().split("\n")[0].slice(0, 200);
    throw new Error(line || `the engine refused the connection (${response.status})`);
  }
  // Where another machine answered, the session lies there.
  const location = new URL(response.headers.get("Location") ?? "", response.url).href;
  return { sdp: text, location };
}
