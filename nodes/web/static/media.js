// Camera and microphone: asking for them, choosing among them, and words for what goes wrong.

export const RESOLUTIONS = [
  { name: "320x240", label: "320 × 240 · light", width: 320, height: 240 },
  { name: "640x480", label: "640 × 480 · standard", width: 640, height: 480 },
  { name: "960x540", label: "960 × 540 · wide", width: 960, height: 540 },
  { name: "1280x720", label: "1280 × 720 · HD, needs a fast machine", width: 1280, height: 720 },
];

export const VOICE_GOES_ON = "your voice moves the avatar meanwhile.";

/** An error of getUserMedia in words that say what to do. @returns {{title: string, text: string}} */
export function explain(error) {
  switch (error.name) {
    case "NotAllowedError":
    case "SecurityError":
      return {
        title: "The camera isn't allowed",
        text: "Click the camera sign next to the address, allow camera and microphone for this page, then try again. "
          + "If there is no sign, allow the browser to use the camera in the system's privacy settings.",
      };
    case "VoiceNotAllowedError":
    case "VoiceSecurityError":
      return {
        title: "The microphone isn't allowed",
        text: "Click the sign next to the address, allow the microphone for this page, then try again.",
      };
    case "VoiceNotFoundError":
      return { title: "No microphone found", text: "Plug a microphone in, then try again: the picture talks with your voice." };
    case "VoiceNotReadableError":
    case "VoiceAbortError":
      return { title: "The microphone is busy", text: "Another program holds it. Close that call or recording, then try again." };
    case "NotFoundError":
      return { title: "No camera found", text: "Plug a camera in, or take its cover off and switch it on, then try again." };
    case "NotReadableError":
    case "AbortError":
      return {
        title: "The camera is busy",
        text: "Another program or tab holds it. Close that call or recording, then try again; if it stays busy, unplug the camera and plug it in again.",
      };
    case "OverconstrainedError":
      return { title: "That camera can't do this", text: "Choose another resolution or another camera below, then try again." };
    case "InsecureContextError":
      return {
        title: "The browser hides the camera on this address",
        text: "Pages reached over plain http from another machine get no camera. Open http://127.0.0.1 on the engine's own machine, or start the engine with TLS and use https.",
      };
    default:
      return { title: "The camera didn't start", text: `The browser says: ${error.message || error.name}. Try again, or choose another camera.` };
  }
}

/**
 * Ask for camera and microphone as chosen. A remembered device that is gone gives way to any
 * other; a microphone that is missing or busy gives way to a silent call, said in `notes`.
 * @param {{camera: string, microphone: string, resolution: string}} choice
 * @param {{video: boolean, audio: boolean, eitherDoes: boolean}} asks what the engine takes of them; where
 *   either does, a camera that is missing gives way to the voice alone
 * @returns {Promise<{stream: MediaStream, notes: string[]}>}
 */
export async function capture(choice, asks) {
  if (!navigator.mediaDevices?.getUserMedia) {
    throw Object.assign(new Error("no camera on an insecure page"), { name: "InsecureContextError" });
  }
  const size = RESOLUTIONS.find((each) => each.name === choice.resolution) ?? RESOLUTIONS[1];
  const video = {
    width: { ideal: size.width },
    height: { ideal: size.height },
    frameRate: { ideal: 30 },
    ...(choice.camera && { deviceId: { exact: choice.camera } }),
  };
  const sound = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };
  const audio = { ...sound, ...(choice.microphone && { deviceId: { exact: choice.microphone } }) };
  const ask = (wanted) => navigator.mediaDevices.getUserMedia(wanted);
  if (!asks.video) return voiceAlone(ask, audio, sound);
  const anyCamera = { ...video, deviceId: undefined };
  const voiceInstead = async (error) => {
    const { stream, notes } = await voiceAlone(ask, audio, sound);
    return { stream, notes: [`${explain(error).title}: ${VOICE_GOES_ON}`, ...notes] };
  };
  try {
    return { stream: await ask({ video, audio }), notes: [] };
  } catch (error) {
    if (error.name === "NotAllowedError" || error.name === "SecurityError") {
      // Where only the microphone is refused the picture alone is better than nothing; anybody
      // who refused both isn't asked again.
      if (await onlyRefused("microphone")) {
        return { stream: await ask({ video }), notes: ["The microphone isn't allowed: the avatar has no sound."] };
      }
      if (asks.eitherDoes && await onlyRefused("camera")) return voiceInstead(error);
      throw error;
    }
    const notes = [];
    let picture;
    try {
      picture = await ask({ video });
    } catch (inner) {
      try {
        if (!choice.camera) throw inner;
        picture = await ask({ video: anyCamera });
      } catch (none) {
        if (!asks.eitherDoes) throw none;
        return voiceInstead(none);
      }
      notes.push("The camera chosen earlier isn't there: another one is in use.");
    }
    try {
      const voice = await ask({ audio: choice.microphone ? sound : audio });
      for (const track of voice.getAudioTracks()) picture.addTrack(track);
      if (choice.microphone) notes.push("The microphone chosen earlier isn't there: another one is in use.");
    } catch (inner) {
      notes.push(inner.name === "NotFoundError"
        ? "No microphone found: the avatar has no sound. Plug one in and choose it below."
        : "The microphone is busy or refused: the avatar has no sound.");
    }
    return { stream: picture, notes };
  }
}

/** The microphone without a camera, for a picture that talks. */
async function voiceAlone(ask, chosen, any) {
  try {
    return { stream: await ask({ audio: chosen }), notes: [] };
  } catch (error) {
    if (error.name === "OverconstrainedError") {
      return { stream: await ask({ audio: any }), notes: ["The microphone chosen earlier isn't there: another one is in use."] };
    }
    throw Object.assign(new Error(error.message), { name: `Voice${error.name}` });
  }
}

/** @param {"camera"|"microphone"} which */
async function onlyRefused(which) {
  try {
    const [camera, microphone] = await Promise.all(["camera", "microphone"]
      .map((name) => navigator.permissions.query({ name: /** @type {any} */ (name) })));
    const [one, other] = which === "camera" ? [camera, microphone] : [microphone, camera];
    return one.state === "denied" && other.state !== "denied";
  } catch {
    return false; // this browser doesn't tell
  }
}

/** One kind of device, with a name for each. @param {"videoinput"|"audioinput"} kind */
export async function devices(kind) {
  if (!navigator.mediaDevices?.enumerateDevices) return [];
  const all = await navigator.mediaDevices.enumerateDevices();
  return all
    .filter((device) => device.kind === kind && device.deviceId)
    .map((device, i) => ({
      id: device.deviceId,
      label: device.label || `${kind === "videoinput" ? "Camera" : "Microphone"} ${i + 1}`,
    }));
}
