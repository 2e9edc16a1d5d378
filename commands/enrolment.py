"""Learn a person's faces from pictures and films of them."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from engine.errors import EndOfStream, MienError
from engine.types import VideoFrame
from face.expression.emotion_names import emotion_first
from face.expression.people import load_people
from face.landmarker import Landmarker, region_of
from face.render.repertoire import NEUTRAL, Repertoire
from face.render.surface import load_surface
from face.render.watch import UNNAMED, Watch, sharpness
from face.rig import load_rig
from face.types import EMOTIONS, FaceTrack
from inference.assets import FACE_LANDMARKER, locate
from media.image_file import FORMATS, read_picture, srgb

FILMS: Final = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mpg", ".mpeg", ".ts")

Log = Callable[[str], None]
"""takes one line for a person"""


class Enrolment:
    """Collects faces. What isn't usable is a line to ``log``."""

    def __init__(self, log: Log, weights: str = "", landmarker: str = "") -> None:
        self._log = log
        self._rig = load_rig()
        self._net = Landmarker(locate(FACE_LANDMARKER, landmarker))
        self._watch = Watch(self._rig, load_surface(), load_people(weights))
        self.repertoire = Repertoire()

    def picture(self, file: Path) -> None:
        """A photograph; an emotion that its name or its folder's begins with is taken at its word,
        else it is read."""
        try:
            pixels = srgb(read_picture(file)).pixels
        except MienError as error:
            self._log(f"{error}; left out")
            return
        found = self._net.detect(pixels)
        if not found:
            self._log(f"{file.name}: no face; left out")
            return
        if len(found) > 1:
            self._log(f"{file.name}: {len(found)} faces; the largest is taken")
        points, _ = self._net.landmarks(pixels, found[0][0])
        points, _ = self._net.landmarks(pixels, region_of(points))
        told = emotion_first(file.stem) or emotion_first(file.parent.name)
        face = self._watch.face(
            pixels, points, self._rig.place(points), self._net.blendshapes(points), told,
            sharpness(pixels, points),
        )  # fmt: skip
        if face.emotion == UNNAMED:
            self._log(f"{file.name}: no emotion in particular; name it EMOTION_1.jpg; left out")
            return
        self.repertoire.add(face)
        self.repertoire.consider(pixels, points, face)

    def film(self, frames: Iterator[tuple[VideoFrame, FaceTrack]]) -> None:
        """Pictures that follow each other, with the face in each; what can be read of them."""
        last_ns: int | None = None
        try:
            for frame, track in frames:
                step_s = 0.0 if last_ns is None else max(frame.capture_ns - last_ns, 0) / 1e9
                last_ns = frame.capture_ns
                if track.found:
                    placement = self._rig.place(track.landmarks)
                    face = self._watch(
                        self.repertoire, frame.pixels, track.landmarks, placement,
                        track.blendshapes, step_s,
                    )  # fmt: skip
                    if face is not None:
                        self.repertoire.add(face)
                        self.repertoire.consider(frame.pixels, track.landmarks, face)
        except MienError as error:
            self._log(f"{error}; what came before is kept")

    def learned(self) -> dict[str, int]:
        """How many faces of each emotion there are."""
        counts = Counter(face.emotion for face in self.repertoire.faces)
        return {name: counts[name] for name in EMOTIONS if counts[name]}

    def check(self) -> None:
        """Raises MienError where there is nothing to go by."""
        if not len(self.repertoire):
            raise MienError("no face that could be kept; show one that is large, sharp and calm")
        if not self.repertoire.of(NEUTRAL):
            self._log("no calm face; neutral is worked out from other people's until one is seen")


def sources(given: list[Path]) -> tuple[list[Path], list[Path]]:
    """(pictures, films) among files and folders, one folder deep. Raises MienError."""
    files: list[Path] = []
    for path in given:
        if path.is_dir():
            files += sorted(file for file in (*path.glob("*"), *path.glob("*/*")) if file.is_file())
        elif path.is_file():
            files.append(path)
        else:
            raise MienError(f"there is no {path}; give pictures, a film, or a folder of them")
    pictures = [file for file in files if file.suffix.lower() in FORMATS]
    films = [file for file in files if file.suffix.lower() in FILMS]
    if not pictures and not films:
        raise MienError(f"no picture and no film in {', '.join(map(str, given))}")
    return pictures, films


def followed(file: Path, landmarker: str = "") -> Iterator[tuple[VideoFrame, FaceTrack]]:
    """A film's pictures with the face in each. Raises MienError."""
    from engine.node import Context
    from engine.parameters import build
    from nodes.face.face_tracker import FaceTracker
    from nodes.sources.media_file import MediaFile

    source = MediaFile(build(MediaFile.Config, {"path": str(file), "sound": False}), Context())
    tracker = FaceTracker(build(FaceTracker.Config, {"landmarker": landmarker}), Context())
    tracker.setup()
    try:
        source.setup()
        with contextlib.suppress(EndOfStream):
            while True:
                frame = (source.read() or {}).get("video")
                if isinstance(frame, VideoFrame):
                    yield frame, tracker.process(frame)
    finally:
        source.close()
        tracker.close()
