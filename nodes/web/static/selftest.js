// The connection check: each step of the way, in words, with the fix for what fails.

import { $, h, say } from "./dom.js";

const GATHER_WITHIN_MS = 2500;

/** @typedef {{name: string, ok: boolean|null, text: string}} Finding  ok null: nothing to judge yet */

/**
 * @param {import("./socket.js").EngineLine} line
 * @param {import("./live.js").Call} call
 */
export function selftest(line, call) {
  const button = $("selftest-run");
  button.addEventListener("click", async () => {
    button.disabled = true;
    $("selftest-list").replaceChildren();
    let bad = 0;
    for (const step of [page, camera, addresses, engine, path]) {
      for (const finding of await step(line, call)) {
        bad += finding.ok === false ? 1 : 0;
        $("selftest-list").append(row(finding));
      }
    }
    say($("selftest-note"), bad ? `${bad} ${bad === 1 ? "thing needs" : "things need"} fixing` : "All is well");
    $("d-selftest").dataset.bad = String(bad);
    button.disabled = false;
  });
}

function row({ name, ok, text }) {
  const state = ok === null ? "idle" : ok ? "ok" : "bad";
  const word = { idle: "not yet", ok: "fine", bad: "wrong" }[state];
  return h("li", { "data-check": state }, h("b", {}, name), h("span", { class: "check-word" }, word), h("p", {}, text));
}

/** @returns {Promise<Finding[]>} */
async function page() {
  const secure = window.isSecureContext;
  return [
    {
      name: "This page's address", ok: secure,
      text: secure
        ? `${location.origin} counts as secure: the browser lends it the camera.`
        : `${location.origin} is plain http on another machine: browsers hide the camera there. Use https, or open the page on the engine's own machine.`,
    },
    {
      name: "WebRTC", ok: "RTCPeerConnection" in window,
      text: "RTCPeerConnection" in window ? "The browser has it." : "The browser has none, or an extension blocks it: use a recent browser, or allow WebRTC in it.",
    },
  ];
}

/** @returns {Promise<Finding[]>} */
async function camera(_line, call) {
  if (!navigator.mediaDevices?.getUserMedia) {
    return [{ name: "Camera", ok: false, text: "The browser offers none on this page; see its address above." }];
  }
  const all = await navigator.mediaDevices.enumerateDevices();
  const count = (kind) => all.filter((device) => device.kind === kind).length;
  const ask = async (name) => {
    try {
      return (await navigator.permissions.query({ name })).state;
    } catch {
      return "unknown"; // Firefox doesn't tell
    }
  };
  const finding = async (name, kind, permission) => {
    const state = await ask(permission);
    const track = call.camera?.getTracks().find((each) => each.kind === (kind === "videoinput" ? "video" : "audio"));
    if (!count(kind)) return { name, ok: false, text: "None found: plug one in." };
    if (state === "denied") return { name, ok: false, text: "Not allowed for this page: click the sign next to the address and allow it." };
    if (track?.readyState === "live") {
      const { width, height, frameRate } = track.getSettings();
      return { name, ok: true, text: `${track.label} is on${width ? `, ${width}×${height} at ${Math.round(frameRate ?? 0)} a second` : ""}.` };
    }
    return { name, ok: state === "granted" ? true : null, text: `${count(kind)} found; ${state === "granted" ? "allowed" : "the browser will ask when you start"}.` };
  };
  return [await finding("Camera", "videoinput", "camera"), await finding("Microphone", "audioinput", "microphone")];
}

/** @returns {Promise<Finding[]>} */
async function addresses() {
  if (!("RTCPeerConnection" in window)) return [];
  const pc = new RTCPeerConnection();
  const found = new Set();
  pc.addTransceiver("audio");
  const done = new Promise((end) => {
    pc.onicecandidate = ({ candidate }) => {
      if (!candidate) end(undefined);
      else if (candidate.type) found.add(`${candidate.protocol} ${candidate.type}`);
    };
    setTimeout(end, GATHER_WITHIN_MS);
  });
  await pc.setLocalDescription();
  await done;
  pc.close();
  const udp = [...found].some((each) => each.startsWith("udp"));
  return [{
    name: "Ways out of the browser", ok: udp,
    text: udp ? `Candidates gathered: ${[...found].join(", ")}.`
      : "No UDP candidate: a policy or an extension forbids WebRTC's local addresses. Allow them for this page.",
  }];
}

/** @returns {Promise<Finding[]>} */
async function engine(line) {
  if (!line.up) return [{ name: "Engine", ok: false, text: "The page can't reach it: see in its terminal whether Mien runs, and whether a proxy blocks WebSockets." }];
  try {
    let took = Infinity;
    for (let tries = 0; tries < 3 && took >= 250; tries += 1) { // a single slow answer is no slow machine
      const began = performance.now();
      await line.call("metrics");
      took = performance.now() - began;
    }
    const findings = [{ name: "Engine", ok: took < 250, text: took < 250 ? `It answers in ${took.toFixed(0)} ms.` : `It takes ${took.toFixed(0)} ms to answer: the machine is overloaded, or the network slow.` }];
    return [...findings, ...(await line.call("selftest"))];
  } catch (error) {
    return [{ name: "Engine", ok: false, text: `It says: ${error.message}.` }];
  }
}

/** @returns {Promise<Finding[]>} */
async function path(_line, call) {
  const findings = [];
  for (const [name, peer] of [["Sending", call.sender], ["Receiving", call.viewer]]) {
    if (peer === call.sender && !call.sends) continue;
    const pc = peer.pc;
    if (!pc || peer.state !== "connected") {
      const running = call.phase === "running";
      findings.push({ name, ok: running ? false : null, text: running
        ? `Not connected (${pc?.connectionState ?? "no connection"}): ${peer.problem || "still trying"}.`
        : "Press Start, then run the check again to see the path." });
      continue;
    }
    const rows = [...(await pc.getStats()).values()];
    const pair = rows.find((each) => each.type === "candidate-pair" && each.nominated && each.state === "succeeded");
    const end = (id) => rows.find((each) => each.id === id);
    const [local, remote] = [end(pair?.localCandidateId), end(pair?.remoteCandidateId)];
    const lossRow = rows.find((each) => each.type === (peer === call.sender ? "remote-inbound-rtp" : "inbound-rtp") && each.kind === "video");
    const total = (lossRow?.packetsReceived ?? 0) + (lossRow?.packetsLost ?? 0);
    const loss = lossRow?.fractionLost ?? (total ? lossRow.packetsLost / total : 0);
    const rtt = (pair?.currentRoundTripTime ?? 0) * 1000;
    const way = pair ? `${local?.candidateType ?? "?"} → ${remote?.candidateType ?? "?"} over ${local?.protocol ?? "?"}` : "path unknown";
    const fine = rtt < 150 && loss < 0.02;
    findings.push({ name, ok: fine, text: `Connected, ${way}; round trip ${rtt.toFixed(0)} ms, ${(loss * 100).toFixed(1)} % of packets lost.`
      + (fine ? "" : " That is much: use a cable, or move nearer to the access point.") });
  }
  return findings;
}
