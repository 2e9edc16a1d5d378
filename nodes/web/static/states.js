// Which one state the page is in, and the words for it: a pure function of what is known.

const STOPPED_AFTER_MS = 8000;
const RESTART_SHOWN_MS = 5000;

/**
 * @typedef {{state: string, title: string, text: string, action: string, cover: boolean,
 *   tone: "calm"|"busy"|"bad", badges: Array<{id: string, text: string}>}} Shown
 */

/**
 * @param {{
 *   phase: "idle"|"asking"|"running", sends: boolean, voiceAlone: boolean,
 *   problem: {title: string, text: string}|null,
 *   lineUp: boolean, downFor_ms: number, refused: string,
 *   sender: string, viewer: string, peerProblem: string, everConnected: boolean, frames: number, everPictured: boolean,
 *   faceLost: boolean, pictureLost: string, slow: string, passThrough: boolean, cameraSeen: boolean,
 *   restarted: string, restartedAgo_ms: number, failed: string, unsent: string,
 * }} facts
 * @returns {Shown}
 */
export function decide(facts) {
  const badges = badgesOf(facts);
  const shown = (state, tone, title, text, action = "", cover = true) =>
    ({ state, tone, title, text, action, cover, badges: cover ? [] : badges });
  const start = facts.sends ? "Start" : "Watch";

  if (facts.refused) {
    return shown("full", "busy", "No place is free", `${sentence(facts.refused)}. This page comes in by itself.`);
  }
  if (!facts.lineUp && facts.downFor_ms > STOPPED_AFTER_MS) {
    return shown("stopped", "bad", "The engine has stopped",
      "Start Mien again in its terminal. This page comes back by itself.");
  }
  if (facts.problem) return shown("trouble", "bad", facts.problem.title, facts.problem.text, "Try again");
  if (facts.phase === "idle" && facts.voiceAlone) {
    return shown("idle", "calm", "A picture that talks", "Start the microphone, and it says what you say. No camera is used.", start);
  }
  if (facts.phase === "idle") {
    return facts.sends
      ? shown("idle", "calm", "Your face, another mood",
        "Start the camera, then choose how you want to look. Your speech and your lips stay yours.", start)
      : shown("idle", "calm", "Watch the avatar", "The engine has a camera of its own; this page shows what it makes of it.", start);
  }
  if (facts.phase === "asking") {
    return shown("permission", "busy", "Waiting for your permission",
      `The browser asks whether this page may use ${facts.voiceAlone ? "the microphone" : "camera and microphone"}. Choose “Allow”.`);
  }
  const connected = facts.viewer === "connected" && (!facts.sends || facts.sender === "connected");
  if (!facts.lineUp || (!connected && facts.everConnected)) {
    return shown("reconnecting", "busy", "Reconnecting", facts.peerProblem || "The engine is coming back.", "", !facts.everPictured);
  }
  if (!connected) {
    return shown("connecting", "busy", "Connecting", facts.peerProblem || "Finding the way to the engine.");
  }
  if (facts.frames === 0 || !facts.cameraSeen) {
    return shown("waiting", "busy", facts.voiceAlone ? "Waiting for your voice" : "Waiting for the camera", "Connected. The first picture takes a moment.", "", !facts.everPictured);
  }
  if (facts.failed) return shown("degraded", "bad", facts.failed, "", "", false);
  if (facts.restarted && facts.restartedAgo_ms < RESTART_SHOWN_MS) {
    return shown("restarted", "busy", "Recovered", "", "", false);
  }
  if (facts.passThrough) return shown("passing", "calm", "Passing through", "", "", false);
  if (facts.pictureLost) return shown("holding", "busy", "No new pictures", "", "", false);
  if (facts.faceLost) return shown("lost", "busy", "Face lost", "", "", false);
  return facts.slow ? shown("live", "busy", "Slow", "", "", false) : shown("live", "calm", "Live", "", "", false);
}

/** @param {string} text */
export function sentence(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function badgesOf(facts) {
  const badges = [];
  const add = (id, text) => badges.push({ id, text });
  if (!facts.lineUp || facts.viewer !== "connected") add("reconnecting", "Reconnecting…");
  else if (facts.frames === 0) add("waiting", "Waiting for the camera…");
  if (facts.failed) add("failed", facts.failed);
  if (facts.restarted && facts.restartedAgo_ms < RESTART_SHOWN_MS) add("restarted", `Engine part “${facts.restarted}” restarted`);
  if (facts.passThrough) add("passing", "Passing through: this is the camera's picture");
  else if (facts.pictureLost) add("holding", facts.pictureLost);
  else if (facts.slow) add("slow", facts.slow);
  else if (facts.faceLost) add("lost", "Face lost: turn to the camera, or bring more light");
  if (facts.unsent) add("unsent", facts.unsent);
  return badges;
}
