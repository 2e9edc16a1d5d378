// Sound without a click: muted only where the browser wants a gesture first, and until there is one.

/** Play a video with its sound, as soon as that is allowed. @param {HTMLVideoElement} video */
export async function playAloud(video) {
  video.muted = false;
  try {
    await video.play();
  } catch (error) {
    if (error.name !== "NotAllowedError") return; // it got another source meanwhile
    video.muted = true;
    video.play().catch(() => undefined);
    for (const gesture of ["pointerdown", "keydown"]) {
      addEventListener(gesture, () => (video.muted = false), { once: true });
    }
  }
}
