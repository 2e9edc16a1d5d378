"""Make strict pairs: one picture twice, the same mouth, another emotion (SSERD, section 3.2).

    python -m training.data.pairs SHARDS --inversion RUN --visual RUN \\
        [--count 2000] [--out SHARDS/pairs.npz] [--sheet SHEET.jpg]

Calm faces of SHARDS' train split are given each emotion along the directions of the latent space
(eq. 11-12), as far as the visual encoder measures the intensity that was drawn for the pair; what
speaks and looks stays as it was.
A pair is refused where that is never measured, where two other emotions' probabilities grow more,
or where the lips' opening is tracked to differ by more than 0.01 eye distances.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track as progress

from engine.errors import MienError, UsageError
from engine.files import atomic_write, make_folder
from engine.node import Context
from engine.program import tool
from engine.types import F32, U8
from face.affect.answers import ANSWERS, READING, from_network, reading
from face.emotions import FEELING, JAW
from face.landmarker import Landmarker, region_of
from face.render.repertoire import mouth_aperture
from face.rig import EYE_SPAN_CM
from face.types import BLENDSHAPES, EMOTIONS
from inference.assets import FACE_LANDMARKER, locate
from inference.weights import open_model
from training import command
from training.data.clip import FRAME_PX
from training.metrics.faces import relative_aperture

if TYPE_CHECKING:
    from training.models.generator import Canvas
    from training.trainers.looks import Looks

FILE: Final = "pairs.npz"
MOUTH: Final = 0.01
"""by how much the lips' opening may differ, in eye distances"""
INTENSITIES: Final = (0.25, 0.6)
"""between which that of a pair is drawn, as the visual encoder measures it"""
ALIKE: Final = 2
"""an emotion has to be among so many whose probabilities grow the most: fear is read as surprise,
disgust as anger"""
SURE: Final = 0.005
"""a probability that is as good as none"""
BETAS: Final = np.linspace(0.6, 4.2, 7, dtype=np.float32)
"""how far along a direction faces are looked at"""
CALM: Final = 0.5
"""how likely a face has to be calm to be given an emotion"""
SAVED_EVERY: Final = 100
"""so many pairs, what there is is kept: fewer serve, too"""
SHEET_ROWS: Final = 12
DRAWN: Final = len(BLENDSHAPES) + len(EMOTIONS)


@dataclass(frozen=True, eq=False)
class Pairs:
    """P pairs. ``key`` and ``frame`` [P]: the picture; ``emotion`` [P] its place in EMOTIONS;
    ``beta`` and ``measured`` [P]: how far, and how strong that is; ``mouth`` [P]: by how much the
    lips' opening differs, in eye distances; ``change`` [P, 60] of shapes and amounts; ``seen``
    [P, 63]: what is tracked and read of the face that was made."""

    key: NDArray[np.str_]
    frame: NDArray[np.int64]
    emotion: NDArray[np.int64]
    beta: F32
    measured: F32
    mouth: F32
    change: F32
    seen: F32

    @classmethod
    def load(cls, path: Path) -> Pairs:
        """Raises MienError."""
        try:
            with np.load(path, allow_pickle=False) as stored:
                return cls(**stored)
        except (OSError, ValueError, TypeError) as error:
            raise MienError(
                f"{path} holds no pairs ({error}); make some with {tool('training.data.pairs')}"
            ) from None


def main(argv: list[str] | None = None) -> int:
    parser = command.parser_of("training.data.pairs", __doc__)
    parser.add_argument("data", metavar="SHARDS", type=Path)
    parser.add_argument("--inversion", type=Path, required=True, help="a run of the latent encoder")
    parser.add_argument("--visual", type=Path, required=True, help="a run of the visual encoder")
    parser.add_argument("--out", type=Path, metavar="PAIRS.npz", help="SHARDS/pairs.npz")
    parser.add_argument("--count", type=int, default=2000, help="how many pairs")
    parser.add_argument("--weights", default="clean", help="set to draw and to measure with")
    parser.add_argument("--every", type=int, default=6, help="of a clip's pictures one is taken")
    parser.add_argument("--sheet", type=Path, help="some of them, to be looked at")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    return command.run("pairs", lambda: make(options))


def make(options: argparse.Namespace) -> None:
    """Raises MienError."""
    if options.count < 1 or options.every < 1:
        raise UsageError("--count and --every are at least 1")
    out = options.out or options.data / FILE
    maker = Maker(options)
    rows: list[dict[str, Any]] = []
    sheet: list[U8] = []
    refused: Counter[str] = Counter()
    shown = sys.stderr.isatty()
    bar = progress(
        maker.tries(), "pairs", total=None, console=Console(stderr=True), disable=not shown
    )
    for row, why, pictures in bar:
        if row is None:
            refused[why] += 1
            continue
        if len(rows) % max(options.count // SHEET_ROWS, 1) == 0:
            sheet.append(pictures)
        rows.append(row)
        if len(rows) % SAVED_EVERY == 0:
            _write(out, rows)
        if len(rows) == options.count:
            break
    if len(rows) < options.count:
        raise MienError(
            f"{options.data} gives {len(rows)} pairs, not {options.count} "
            f"({counted(refused)}); prepare more calm faces"
        )
    _write(out, rows)
    if options.sheet is not None:
        _write_sheet(options.sheet, sheet)
    mouths = np.array([row["mouth"] for row in rows])
    print(
        f"{len(rows)} pairs of {len({(r['key'], r['frame']) for r in rows})} faces; "
        f"lips differ by {mouths.mean():.4f} eye distances, at most {mouths.max():.4f}; "
        f"refused: {counted(refused)}"
    )


def _write(out: Path, rows: list[dict[str, Any]]) -> None:
    make_folder(out.parent)
    columns: dict[str, Any] = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    with atomic_write(out) as part, part.open("wb") as file:
        np.savez_compressed(file, **columns)


def counted(refused: Counter[str]) -> str:
    return ", ".join(f"{count} {why}" for why, count in sorted(refused.items())) or "none"


@dataclass(frozen=True, eq=False)
class Made:
    """A face after a ``change`` [60]: its ``picture`` RGB [S, S, 3], how far its lips are apart,
    ``mouth``, in eye distances, and what is ``seen`` [63]."""

    change: F32
    picture: U8
    mouth: float
    seen: F32

    @property
    def felt(self) -> F32:
        """How likely each emotion is [8]."""
        return self.seen[-READING:][: len(EMOTIONS)]

    @property
    def intensity(self) -> float:
        return float(self.seen[-1])


class Maker:
    """Draws pairs, one try after another."""

    def __init__(self, options: argparse.Namespace) -> None:
        """Raises MienError."""
        import torch

        from face.expression.people import load_people
        from face.rig import load_rig
        from training.directions import emotion_directions, from_own_neutral, speech_basis
        from training.models.generator import SurfaceGenerator, fields_of
        from training.models.latent import LatentEncoder
        from training.models.visual import VisualEncoder
        from training.restore import restore
        from training.trainers.inversion import encode
        from training.trainers.looks import light_of, looks_of
        from training.trainers.samples import Clips

        self._rng = np.random.default_rng(options.seed)
        visual = restore(options.visual, "visual", VisualEncoder)
        encoder = restore(options.inversion, "inversion", LatentEncoder)
        clips = Clips(options.data, "train", lambda info, frames: frames > 0)
        self._looks = looks = looks_of(clips, visual, options.every)
        with torch.no_grad():
            codes = encode(encoder, torch.from_numpy(looks.seen)).numpy()
        own, known = from_own_neutral(codes, looks.label, looks.subject)
        speech = speech_basis(*calm_talk(looks, codes))
        normals = emotion_directions(own[known], looks.label[known], speech)
        self.directions = {emotion: shown(normal) for emotion, normal in normals.items()}
        light = light_of(looks)
        fields = fields_of(load_people(options.weights), load_rig(), light)
        self._generator = SurfaceGenerator(fields)
        self._landmarker = Landmarker(locate(FACE_LANDMARKER))
        self._reader = open_model(
            "visual", options.weights, Context(), threads=1, inputs=("crop", "rig", "state"),
            outputs=ANSWERS,
        )  # fmt: skip
        self._jaw_opens = mouth_aperture(load_rig().basis[JAW]) / EYE_SPAN_CM
        self._bases = np.flatnonzero((looks.label == 0) & (looks.reading[:, 0] >= CALM))

    def tries(self) -> Iterator[tuple[dict[str, Any] | None, str, U8]]:
        """A pair, or None and why it is refused; and both pictures side by side. Each calm face is
        given each emotion twice at most."""
        from training.models.generator import batched

        for _ in range(2):
            for place in self._rng.permutation(self._bases):
                picture, landmarks, _ = self._looks.picture(int(place))
                canvas = batched([self._looks.canvas(int(place), FRAME_PX)])
                calm = self._made(np.zeros(DRAWN, np.float32), canvas, landmarks)
                for emotion in self.directions:
                    made, why = self._pair(emotion, calm, canvas, landmarks)
                    row = None if made is None else self._row(int(place), emotion, made, calm)
                    yield row, why, np.hstack([picture, (made or calm).picture])

    def _pair(
        self, emotion: int, calm: Made, canvas: Canvas, landmarks: F32
    ) -> tuple[Made | None, str]:
        """The face in an emotion of an intensity that is drawn; or None, and why."""
        wanted = self._rng.uniform(*INTENSITIES)
        direction, found = self.directions[emotion], None
        low, high = 0, len(BETAS)
        while low < high:  # the least of them that is strong enough
            at = (low + high) // 2
            made = self._made(BETAS[at] * direction, canvas, landmarks)
            if made.intensity < wanted:
                low = at + 1
            else:
                high, found = at, made
        if found is None:
            return None, "not strong enough"
        if abs(found.mouth - calm.mouth) > MOUTH:  # a jaw that follows brings it back
            change = found.change.copy()
            change[JAW] -= (found.mouth - calm.mouth) / self._jaw_opens
            found = self._made(change, canvas, landmarks)
        if abs(found.mouth - calm.mouth) > MOUTH:
            return None, "with another mouth"
        grown = np.log((found.felt + SURE) / (calm.felt + SURE))
        if emotion not in np.argsort(-grown[1:])[:ALIKE] + 1:
            return None, "seen as another emotion"
        return found, ""

    def _row(self, place: int, emotion: int, made: Made, calm: Made) -> dict[str, Any]:
        return {
            "key": np.str_(self._looks.clips.infos[self._looks.clip[place]].key),
            "frame": self._looks.frame[place],
            "emotion": np.int64(emotion),
            "beta": np.float32(np.vdot(made.change, self.directions[emotion]))
            / np.vdot(self.directions[emotion], self.directions[emotion]),
            "measured": np.float32(made.intensity),
            "mouth": np.float32(abs(made.mouth - calm.mouth)),
            "change": made.change,
            "seen": made.seen,
        }

    def _made(self, change: F32, canvas: Canvas, landmarks: F32) -> Made:
        """The canvas after a change, and what is seen of it."""
        import torch

        change = change.astype(np.float32)
        with torch.no_grad():
            drawn = self._generator.draw(torch.from_numpy(change)[None], canvas)[0].numpy()
        picture = to_bytes(drawn)
        points = self._track(picture, landmarks)
        shapes = self._landmarker.blendshapes(points)
        seen = np.concatenate([shapes, self._read(drawn, shapes)]).astype(np.float32)
        return Made(change, picture, float(relative_aperture(points)), seen)

    def _read(self, made: F32, shapes: F32) -> F32:
        """What the visual encoder says [11] of a picture [3, S, S]."""
        answer = self._reader(crop=made[None], rig=shapes[None], **self._reader.begin())
        return reading(from_network(answer, "face", 0))

    def _track(self, picture: U8, landmarks: F32) -> F32:
        """Landmarks [478, 3] px of an RGB picture whose face is about there."""
        bgr = np.ascontiguousarray(picture[..., ::-1])
        return self._landmarker.landmarks(bgr, region_of(landmarks))[0]


def shown(direction_ND: F32) -> F32:
    """What is drawn [60] of a direction: shapes that show a feeling, and amounts."""
    import torch

    from training.models.latent import drawn

    change: F32 = drawn(torch.from_numpy(direction_ND)[None])[0].numpy()
    change[: len(BLENDSHAPES)] *= FEELING
    return change


def calm_talk(looks: Looks, codes: F32) -> tuple[F32, list[int]]:
    """Codes of drawn heads that are known to feel nothing while they speak, and whose each is."""
    clips = looks.clips
    talk = [
        place
        for place, clip in enumerate(looks.clip)
        if clips.lengths[clip] > 1
        and clips.infos[clip].synthetic
        and clips.infos[clip].emotion == "neutral"
    ]
    return codes[talk], [int(looks.clip[place]) for place in talk]


def to_bytes(picture: F32) -> U8:
    """[3, S, S] in 0..1 as RGB [S, S, 3]."""
    return np.rint(picture.transpose(1, 2, 0) * 255).astype(np.uint8)


def _write_sheet(path: Path, pictures: list[U8]) -> None:
    import cv2

    half = (len(pictures) + 1) // 2
    columns = [np.vstack(pictures[:half]), np.vstack(pictures[half : 2 * half])]
    tall = max(len(column) for column in columns)
    padded = [np.pad(column, ((0, tall - len(column)), (0, 0), (0, 0))) for column in columns]
    make_folder(path.parent)
    if not cv2.imwrite(str(path), np.hstack(padded)[..., ::-1]):
        raise MienError(f"{path} can't be written; a sheet is a .jpg or .png")


if __name__ == "__main__":
    sys.exit(main())
