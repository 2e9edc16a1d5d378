// What a person calls the engine's parts and parameters; their names in code stay in sight beside.

import { roleOf } from "./roles.js";

const NODES = {
  browser: "This page's camera",
  camera: "Camera of the engine's machine",
  microphone: "Microphone of the engine's machine",
  tracker: "Finding the face",
  face_reader: "Reading the face",
  voice_reader: "Reading the voice",
  feeling: "Emotions of face and voice",
  reference: "Reference",
  editor: "Expression",
  compositor: "Drawing the face",
  voice_face: "Face from the voice",
  portrait: "Drawing the portrait",
  stand_in: "Standing in for the camera",
  rig_out: "Shapes of the face",
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
  feelings: "Emotions",
  supervisor: "Supervisor",
};

// By node or role, and name, or by name alone where it means the same everywhere.
const PARAMETERS = {
  "browser.codec": "Preferred codec",
  "browser.start_kbps": "Bitrate at the start",
  "browser.least_kbps": "Lowest bitrate",
  "browser.most_kbps": "Highest bitrate",
  "browser.whip": "Take pictures from OBS",
  "tracker.min_confidence": "Least certainty that it is a face",
  "tracker.smoothing": "Smoothing of the landmarks",
  "tracker.follow": "Which face",
  "tracker.search_interval_ms": "Pause between searches",
  "face_reader.every": "Read every n-th picture",
  "feeling.smoothing_ms": "Smooth emotions over",
  "feeling.hold_ms": "Keep an emotion for",
  "feeling.margin": "Change the emotion when likelier by",
  "editor.mode": "What the face shows",
  "editor.emotion": "Emotion to wear",
  "editor.intensity": "Intensity",
  "editor.valence": "Pleasant or not",
  "editor.arousal": "Calm or excited",
  "editor.scale": "How much of my own expression",
  "editor.voice_gain": "Strength of the voice",
  "editor.neutralize": "Remove my own expression",
  "editor.open_mouth": "Open a silent mouth",
  "editor.smoothing": "Smoothing of my own expression",
  "editor.ease_ms": "Duration of a change",
  "compositor.renderer": "Renderer",
  "compositor.strength": "Strength of the change",
  "compositor.remember": "Remember my faces",
  "compositor.person": "Enrolled person",
  "compositor.shows": "What my face shows",
  "compositor.enrol": "Enrol as",
  "compositor.every": "Light and shade every n-th picture",
  "compositor.backend": "Runtime of the network",
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
  "voice_face.ease_ms": "Duration of a change",
  "voice_face.after_ms": "Take over after no face for",
  "voice_face.hand_over_ms": "Duration of the change between face and voice",
  "voice_face.late_ms": "Skip sound older than",
  "voice_face.seed": "Random seed of blinks and glances",
  "stand_in.after_ms": "Wait after the camera's last picture",
  "vmc.shapes": "Shapes to send",
  "vmc.capitals": "Names with capitals",
  "vmc.mirror": "Mirror",
  "vtube_studio.mirror": "Mirror",
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
  "compositor.shows": { read: "what is read in it", unsay: "undo what was said" },
  "reference.clip": { loop: "in a loop", mean: "its mean" },
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
