// The page's wiring: line, call and panels, one state on the picture.
//
// For tests and benchmarks, <html> carries what the page knows as data attributes: data-state
// (idle permission connecting waiting live lost holding restarted passing degraded reconnecting stopped
// trouble), data-line (up, down), data-latency, data-latency-p95, data-fps, data-drops, data-drift,
// data-size (of the returned picture), data-frames (decoded), data-restarts, data-reconnects,
// data-mode (off wear pad like scale voice), data-like (reading), data-worn (of references), data-emotion, data-intensity, data-sending (yes: a change is on its way); data-felt, data-felt-face,
// data-felt-voice (what is measured), data-traces (moments drawn), data-microphone (heard silent muted
// none –), data-level (of the governor). The videos are #avatar and #self.
// Query: ?start begins at once, ?watch only watches, ?clean begins at once and shows nothing but the
// avatar, with its sound, on ?background=COLOUR or nothing.

import { AdvancedPanel } from "./advanced.js";
import { playAloud } from "./aloud.js";
import { AvatarView } from "./avatar.js";
import { devicesPanel } from "./devices.js";
import { $, icon, say } from "./dom.js";
import { EnginePanel } from "./engine.js";
import { facesRow } from "./faces.js";
import { governorRow } from "./governor.js";
import { shortcuts } from "./keys.js";
import { LikePanel } from "./like.js";
import { Call } from "./live.js";
import { Meter } from "./meter.js";
import { MoodPanel } from "./mood.js";
import { Parameters } from "./parameters.js";
import { iceServers } from "./peer.js";
import { peopleRow } from "./people.js";
import { portraitsRow } from "./portraits.js";
import { PresetsPanel } from "./presets.js";
import { Recorder, clock, snapshot as savePicture } from "./recorder.js";
import { nodeOf, takeRoles } from "./roles.js";
import { selftest } from "./selftest.js";
import { EngineLine } from "./socket.js";
import { Stage, toast } from "./stage.js";
import { decide, sentence } from "./states.js";
import { Strip } from "./strip.js";
import { themes } from "./theme.js";
import { Traces } from "./traces.js";
import { nodeWords, processWords } from "./words.js";

const MEASURE_EVERY_MS = 500;
const REFRESH_EVERY_MS = 4000;
const SILENT_MS = 2000; // figures come four times a second: an engine this silent hangs

const root = document.documentElement;
const query = new URLSearchParams(location.search);
const line = new EngineLine();
const call = new Call();
const parameters = new Parameters(line);
const stage = new Stage();
const view = new AvatarView(parameters);
const mood = new MoodPanel(parameters);
new LikePanel(line, parameters, () => mood.setMode("like"));
const strip = new Strip();
new Meter(call);
const traces = new Traces();
const recorder = new Recorder();
const panel = new EnginePanel((process) =>
  line.call("restart", { process }).then(() => toast(`${processWords(process)}: starts again`), (error) => toast(error.message, "error")));
new AdvancedPanel(parameters);
const presets = new PresetsPanel(line, parameters);
devicesPanel(call, parameters);
const showFaces = facesRow(parameters);
const showPortraits = portraitsRow(parameters, (text) => toast(text, "error"));
const showPeople = peopleRow(line, parameters, (text) => toast(text, "error"));
const showGovernor = governorRow(line, parameters, (text) => toast(text, "error"));
selftest(line, call);
const nextTheme = themes();

let snapshot = /** @type {Record<string, any>} */ ({});
let started = false;
let heardAt = 0;
let everConnected = false;
let everPictured = false;
let restart = { name: "", at: -Infinity, counts: /** @type {Record<string, number>|null} */ (null) };

function render() {
  const now = performance.now();
  if (call.viewer.state === "connected") everConnected = true;
  if (call.received.frames > 0) everPictured = true;
  const tracker = snapshot.nodes?.[nodeOf("tracker")]?.status ?? ["ok", ""];
  const out = snapshot.nodes?.[nodeOf("out")]?.status ?? ["ok", ""];
  const publish = snapshot.nodes?.[nodeOf("publish")]?.status ?? ["ok", ""];
  const failed = Object.entries(snapshot.nodes ?? {}).find(([, node]) => node.status?.[0] === "failed");
  stage.show(decide({
    phase: call.phase, sends: call.sends, voiceAlone: call.sends && !call.asks.video, problem: call.problem,
    lineUp: line.up && now - heardAt < SILENT_MS, downFor_ms: line.up ? 0 : now - line.downSince, refused: line.refused,
    sender: call.sender.state, viewer: call.viewer.state,
    peerProblem: call.sender.problem || call.viewer.problem, everConnected,
    frames: call.received.frames, everPictured, cameraSeen: !call.sends || call.unpictured || (snapshot.session?.session?.frames ?? 1) > 0,
    faceLost: tracker[0] === "lost", pictureLost: out[0] === "lost" ? sentence(out[1]) : "",
    slow: out[0] === "degraded" && !parameters.value(nodeOf("out"), "pass_through") ? sentence(out[1]) : "",
    passThrough: Boolean(parameters.value(nodeOf("out"), "pass_through")),
    restarted: processWords(restart.name), restartedAgo_ms: now - restart.at,
    unsent: publish[0] === "ok" ? "" : sentence(publish[1]),
    failed: failed ? `${nodeWords(failed[0])}: ${failed[1].status[1] || "failed"}` : "",
  }));
  root.dataset.self = call.unpictured ? "none" : "shown";
  root.dataset.line = line.up ? "up" : "down";
  root.dataset.reconnects = String(call.viewer.reconnects);
  const running = call.phase !== "idle";
  say($("start").querySelector("span"), running ? "Stop" : call.sends ? "Start" : "Watch");
  icon($("start"), running ? "stop" : "start");
  $("start").classList.toggle("primary", !running);
  const pictured = call.received.frames > 0 && running;
  $("snapshot").disabled = !pictured;
  $("record").disabled = !pictured && !recorder.active;
  const muted = call.muted || Boolean(parameters.value(nodeOf("out"), "mute"));
  $("mute").setAttribute("aria-pressed", String(muted));
  icon($("mute"), muted ? "mic-off" : "mic");
  say($("mute").querySelector("span"), muted ? "Muted" : "Mute");
  $("record").setAttribute("aria-pressed", String(recorder.active));
  say($("record-label"), recorder.active ? clock(recorder.seconds) : "Record");
  say($("say"), call.notes.join(" "));
}

function toggleStart() {
  if (call.phase !== "idle") return hangUp();
  started = true;
  everConnected = everPictured = false;
  call.start();
}

function hangUp() {
  recorder.stop();
  call.stop();
}

function toggleMute() {
  const muted = !(call.muted || parameters.value(nodeOf("out"), "mute"));
  call.mute(muted);
  parameters.set(nodeOf("out"), "mute", muted);
  render();
}

function toggleHear() {
  const video = $("avatar");
  video.muted = !video.muted;
  $("hear").setAttribute("aria-pressed", String(!video.muted));
  icon($("hear"), video.muted ? "ear-off" : "ear");
  if (!video.muted) toast("You hear what others hear. Without headphones it may echo.");
}

function toggleRecord() {
  if (recorder.active) return recorder.stop();
  try {
    recorder.start(view.figure ? view.filmed(call.returned) : call.returned);
  } catch (error) {
    toast(error.message, "error");
  }
}

async function takePicture() {
  if ($("snapshot").disabled) return;
  try {
    toast(`Saved ${await savePicture(view.figure ? view.drawn() : $("avatar"))}`);
  } catch (error) {
    toast(error.message, "error");
  }
}

$("start").addEventListener("click", toggleStart);
$("veil-action").addEventListener("click", () => {
  if (call.phase === "running") call.choose({});
  else toggleStart();
});
$("mute").addEventListener("click", toggleMute);
$("hear").addEventListener("click", toggleHear);
$("record").addEventListener("click", toggleRecord);
$("snapshot").addEventListener("click", takePicture);
view.addEventListener("change", () => recorder.stop()); // what is shown is another thing now
recorder.addEventListener("change", render);
recorder.addEventListener("saved", (event) => {
  const { name, bytes, seconds } = /** @type {CustomEvent} */ (event).detail;
  toast(`Saved ${name}: ${clock(seconds)}, ${(bytes / 1e6).toFixed(1)} MB`);
});

shortcuts([
  { keys: ["s"], label: "start or stop", run: toggleStart },
  { keys: ["1", "2", "3", "4", "5", "6", "7", "8"], shown: ["1 – 8"], label: "wear an emotion", run: (key) => mood.wearNth(Number(key) - 1) },
  { keys: ["["], label: "less intense", run: () => mood.nudge(-0.1) },
  { keys: ["]"], label: "more intense", run: () => mood.nudge(0.1) },
  { keys: ["o"], label: "as I am", run: () => mood.setMode("off") },
  { keys: ["n"], label: "wear neutral", run: () => mood.wear("neutral") },
  { keys: ["w"], label: "wear", run: () => mood.setMode("wear") },
  { keys: ["d"], label: "pad; then the arrows move", run: () => { mood.setMode("pad"); mood.pad.focus(); } },
  { keys: ["l"], label: "more or less of me", run: () => mood.setMode("scale") },
  { keys: ["y"], label: "follow my voice", run: () => mood.setMode("voice") },
  { keys: ["m"], label: "mute", run: toggleMute },
  { keys: ["h"], label: "hear myself", run: toggleHear },
  { keys: ["b"], label: "pass through", run: () => $("pass").click() },
  { keys: ["v"], label: "next view", run: () => stage.nextView() },
  { keys: ["x"], label: "mirror", run: () => $("mirror").click() },
  { keys: ["f"], label: "full screen", run: () => stage.fullscreen() },
  { keys: ["p"], label: "snapshot", run: takePicture },
  { keys: ["r"], label: "record", run: () => $("record").disabled || toggleRecord() },
  { keys: ["t"], label: "theme", run: nextTheme },
], (key) => presets.press(key));

parameters.addEventListener("change", () => {
  root.dataset.sending = parameters.sending ? "yes" : "";
  const servers = parameters.value(nodeOf("out"), "ice_servers") ?? "";
  for (const peer of [call.sender, call.viewer]) peer.iceServers = iceServers(servers);
  call.limit(parameters.value(nodeOf("browser"), "longest_px"));
});

let frameTracks = "";
call.addEventListener("change", () => {
  if ($("self").srcObject !== call.camera) $("self").srcObject = call.camera;
  render();
});
call.addEventListener("returned", () => {
  const tracks = call.returned.getTracks().map((track) => track.id).join();
  if (tracks === frameTracks) return;
  frameTracks = tracks;
  $("avatar").srcObject = call.returned;
  if (query.has("clean")) playAloud($("avatar"));
  $("avatar").requestVideoFrameCallback?.(() => {
    call.received.frames ||= 1; // shown: don't wait for the next look at the statistics
    render();
  });
  recorder.stop(); // it can't go over to other tracks: keep what there is
});

line.addEventListener("metrics", (event) => {
  snapshot = /** @type {CustomEvent} */ (event).detail;
  heardAt = performance.now();
  call.watch(snapshot);
  noteRestarts(snapshot.processes ?? {});
  strip.show(snapshot, call.received);
  panel.show(snapshot);
  showFaces(snapshot);
  showPortraits(snapshot);
  showPeople(snapshot);
  showGovernor(snapshot);
  traces.explain(snapshot);
  mood.explain(snapshot);
  render();
});
line.addEventListener("feelings", (event) => traces.show(/** @type {CustomEvent} */ (event).detail));
line.addEventListener("event", (event) => {
  const { text, level } = /** @type {CustomEvent} */ (event).detail;
  if (level === "error") toast(text, level); // lesser ones are on the picture and under "Latest events"
});
line.addEventListener("down", () => {
  strip.show({}, { ...call.received, frames: 0, fps: 0 });
  render();
});
line.addEventListener("died", () => call.again()); // its media died with it: don't wait for a timeout
line.addEventListener("up", async () => {
  heardAt = performance.now();
  render();
  try {
    call.watch(await line.call("metrics")); // another process answers? then connect anew, at once
    const graph = await line.call("graph");
    takeRoles(graph);
    parameters.dispatchEvent(new Event("change")); // under the names that are now known
    call.sends = nodeOf("browser") !== "" && !query.has("watch");
    const taken = Object.values(graph.nodes).flatMap((node) => Object.values(node.inputs));
    const takes = (kind) => taken.includes(`${nodeOf("browser")}.${kind}`);
    // Where the voice can move the face, the camera may be missing.
    call.asks = { video: takes("video"), audio: takes("audio"), eitherDoes: nodeOf("voice_face") !== "" };
    root.dataset.camera = call.asks.video ? "on" : "none";
  } catch {
    return render(); // it went down again; the next "up" asks anew
  }
  if ((query.has("start") || query.has("clean")) && call.phase === "idle" && !started) toggleStart();
  render();
});

function noteRestarts(processes) {
  const counts = Object.fromEntries(Object.entries(processes).map(([name, each]) => [name, each.restarts ?? 0]));
  const before = restart.counts;
  for (const [name, count] of Object.entries(counts)) {
    if (before && count > (before[name] ?? 0)) restart = { ...restart, name, at: performance.now() };
  }
  restart.counts = counts;
}

window.addEventListener("pagehide", () => {
  call.sender.close();
  call.viewer.close();
});
window.addEventListener("pageshow", (event) => {
  if (!event.persisted || call.phase !== "running") return;
  if (call.sends) call.sender.open();
  call.viewer.open();
});

if (query.has("token")) {
  query.delete("token"); // the cookie holds it now; addresses get copied
  history.replaceState(null, "", `${location.pathname}${query.size ? `?${query}` : ""}`);
}

setInterval(() => {
  call.measure(line.up).then(render); // the engine sends pictures always, a still one if need be
}, MEASURE_EVERY_MS);
setInterval(() => document.visibilityState === "visible" && line.up && parameters.refresh(), REFRESH_EVERY_MS);
document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && line.up && parameters.refresh());
line.run();
render();
