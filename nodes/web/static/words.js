// What a person calls the engine's parts and parameters; their names in code stay in sight beside.

import { roleOf } from "./roles.js";

const NODES = {
  browser: "This page's camera",
  camera: "Camera of the engine's machine",
  microphone: "Microphone of the engine's machine",
  tracker: "Finding the face",
  face_reader: "Reading the face",
  voice_reader: "Reading the voice",
  feeling: "What is felt",
  reference: "Reference",
  editor: "Expression",
  compositor: "Drawing the face",
  voice_face: "From the voice to a face",
  portrait: "Drawing the portrait",
  stand_in: "Standing in for the camera",
  rig_out: "The face as shapes",
  vmc: "To VTuber tools",
  vtube_studio: "To VTube Studio",
  avatar: "3D avatar",
  publish: "Broadcasting",
  out: "Sending to viewers",
  virtual_camera: "Virtual camera",
};

const PROCESSES = {
  net: "Connections",
  face: "Face",
  feelings: "Feelings",
  supervisor: "Watching over them",
};

// By node or role, and name, or by name alone where it means the same everywhere.
const PARAMETERS = {
  "browser.codec": "Codec to ask for",
  "browser.start_kbps": "Bitrate at the start",
  "browser.least_kbps": "Lowest bitrate",
  "browser.most_kbps": "Highest bitrate",
  "browser.whip": "Take pictures from OBS",
  "tracker.min_confidence": "Sureness that it is a face",
  "tracker.smoothing": "Steadiness of the outline",
  "tracker.follow": "Which face",
  "tracker.search_interval_ms": "Pause between searches",
  "face_reader.every": "Look at every n-th picture",
  "feeling.smoothing_ms": "Smooth feelings over",
  "feeling.hold_ms": "Keep a feeling for",
  "feeling.margin": "Change its name when clearer by",
  "editor.mode": "What the face shows",
  "editor.emotion": "Emotion to wear",
  "editor.intensity": "Intensity",
  "editor.valence": "Pleasant or not",
  "editor.arousal": "Calm or excited",
  "editor.scale": "How much of my own",
  "editor.voice_gain": "Strength of the voice",
  "editor.neutralize": "Calm my own",
  "editor.open_mouth": "Mouth falls open",
  "editor.smoothing": "Steadiness of my own",
  "editor.ease_ms": "Time of a change",
  "compositor.renderer": "Way of drawing",
  "compositor.strength": "Strength of the change",
  "compositor.remember": "Remember my faces",
  "compositor.person": "Enrolled person",
  "compositor.shows": "What my face shows",
  "compositor.enrol": "Enrol as",
  "compositor.every": "Light and shade every n-th picture",
  "compositor.backend": "What computes",
  "editor.reference_gain": "Strength of the reference",
  "reference.path": "References from the start",
  "reference.clip": "How a clip is worn",
  "voice_face.reference_gain": "Strength of the reference",
  "voice_face.mode": "What the face shows",
  "voice_face.emotion": "Emotion to wear",
  "voice_face.intensity": "Intensity",
  "voice_face.voice_gain": "Strength of the voice",
  "voice_face.articulation": "How far the lips move",
  "voice_face.liveliness": "How much head and eyes move",
  "voice_face.ease_ms": "Time of a change",
  "voice_face.after_ms": "Takes over after the last face by",
  "voice_face.hand_over_ms": "Time of a hand-over",
  "voice_face.late_ms": "Leave sound out that is older than",
  "voice_face.seed": "Chance of blinks and glances",
  "stand_in.after_ms": "Wait after the camera's last picture",
  "vmc.shapes": "Which shapes are told",
  "vmc.capitals": "Names with capitals",
  "vmc.mirror": "As in a mirror",
  "vtube_studio.mirror": "As in a mirror",
  "avatar.file": "Avatar's file",
  "publish.url": "Server to broadcast to",
  "publish.bitrate_kbps": "Picture bitrate",
  "out.host": "Address",
  "out.public_url": "Address behind a proxy",
  "out.trusted_proxies": "Reverse proxies to trust",
  "out.cert": "TLS certificate",
  "out.key": "TLS key",
  "out.ice_servers": "STUN and TURN servers",
  "out.max_viewers": "Most viewers",
  "out.codec": "Codec for viewers",
  "out.bitrate_kbps": "Picture bitrate",
  "out.when_lost": "When pictures stop",
  "out.playout_delay_ms": "Viewers may delay pictures by up to",
  "out.pass_through": "Pass through",
  "out.mute": "Mute",
  landmarker: "Landmarker's file",
  threads: "Compute threads",
  weights: "Networks' folder",
};

const CHOICES = {
  "editor.mode": {
    emotion: "wear an emotion", valence_arousal: "a point on the pad", scale: "more or less of me",
    voice: "follow my voice", reference: "like this", off: "as I am",
  },
  "compositor.shows": { read: "what is read of it", unsay: "what was said is taken back" },
  "reference.clip": { loop: "over and over, in its own time", mean: "as its mean" },
  "out.when_lost": { hold: "hold the last", pass: "show the camera" },
};

const UNIT = /_(ms|s|hz|px|kbps)$/;

/** @param {string} name */
export const nodeWords = (name) => NODES[name] ?? NODES[roleOf(name)] ?? plain(name);

/** @param {string} name */
export const processWords = (name) => PROCESSES[name] ?? plain(name);

/** @param {string} node @param {string} name */
export const parameterWords = (node, name) => find(PARAMETERS, node, name) ?? PARAMETERS[name] ?? plain(name.replace(UNIT, ""));

/** @param {string} node @param {string} name @param {unknown} choice */
export const choiceWords = (node, name, choice) => find(CHOICES, node, name)?.[String(choice)] ?? String(choice);

/** What a table has for a node's parameter: by the node's own name, else by its role. */
function find(table, node, name) {
  return table[`${node}.${name}`] ?? table[`${roleOf(node)}.${name}`];
}

/** "search_pause" -> "Search pause": nodes that this page has never heard of. */
function plain(name) {
  const words = name.replace(/_/g, " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}
