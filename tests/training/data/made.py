"""Clips and recordings made in code."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from engine.types import U8
from training.data.clip import Clip, ClipInfo, Phone, encode


def made_clip(key: str, frames: int = 5, subject: str = "ann", truth: bool = False) -> Clip:
    """Smooth pictures that differ, arrays of small numbers."""
    rng = np.random.default_rng(abs(hash(key)) % 1000)
    ramp = np.linspace(0, 200, 256, dtype=np.uint8)
    pictures = [
        np.stack([ramp[None] + t + np.zeros((256, 1), np.uint8)] * 3, -1) for t in range(frames)
    ]
    jpegs, index = encode(pictures)
    return Clip(
        info=ClipInfo(key=key, subject=subject, emotion="happy", level=2, sentence="s"),
        jpegs=jpegs,
        index=index,
        landmarks=rng.random((frames, 478, 3), np.float32),
        blendshapes=rng.random((frames, 52), np.float32),
        pose=np.tile(np.eye(4, dtype=np.float32), (frames, 1, 1)),
        found=np.ones(frames, np.bool_),
        mel=rng.random((4 * frames, 80), np.float32),
        sound=rng.integers(-9000, 9000, 640 * frames).astype(np.int16),
        phones=(Phone(name="AA", start_s=0.0, end_s=0.1),),
        rig=rng.random((frames, 52), np.float32) if truth else None,
    )


def write_video(
    path: Path, pixels: U8, frames: int = 20, rate: int = 20, sound: bool = True
) -> None:
    """One picture [H, W, 3] RGB, moving a little, with a tone beside it."""
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=rate)
        video.height, video.width, video.pix_fmt = pixels.shape[0], pixels.shape[1], "yuv420p"
        audio = container.add_stream("aac", rate=44100, layout="mono") if sound else None
        for step in range(frames):
            moved = np.ascontiguousarray(np.roll(pixels, step, axis=1))
            container.mux(video.encode(av.VideoFrame.from_ndarray(moved, "rgb24")))
        container.mux(video.encode())
        if audio is not None:
            times = np.arange(44100 * frames // rate) / 44100
            tone = (8000 * np.sin(2 * np.pi * 440 * times)).astype(np.int16)[None]
            block = av.AudioFrame.from_ndarray(tone, "s16", "mono")
            block.sample_rate = 44100
            container.mux(audio.encode(block))
            container.mux(audio.encode())
