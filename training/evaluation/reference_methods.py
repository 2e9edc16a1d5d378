"""Ways to give a face the expression of a reference: the rows of intra-ID and cross-ID.

A method takes a picture, the face in it and a look at the reference, and gives the edited picture.
A new one is a line in METHODS.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final, Protocol
from weakref import WeakKeyDictionary

import numpy as np

from engine.errors import MienError, UsageError
from engine.node import Context
from engine.types import U8, VideoFrame
from face.emotions import FEELING, amounts_in
from face.expression.people import load_people
from face.reference import Reference, ReferenceReader, removed_for
from face.reference_network import ReferenceNetwork
from face.render.repertoire import Face, Repertoire
from face.render.surface import load_surface
from face.render.watch import Watch
from face.rig import load_rig
from face.types import FaceEdit, FaceTrack
from inference.weight_sets import folder_of
from training.data.clip import STEP_NS
from training.data.own import in_fold
from training.evaluation.look import Look
from training.evaluation.renderers import Edited, Renderer, Untouched


class Method(Protocol):
    """Pictures of a take come one after another; a frame's ``cut`` begins another."""

    @property
    def label(self) -> str:
        """What it is and what it runs on."""
        ...

    def __call__(self, frame: VideoFrame, face: FaceTrack, look: Look) -> U8:
        """The picture edited. Raises MienError where the reference can't be used."""
        ...


Ask = Callable[[FaceTrack, Look], FaceEdit]
"""what a face should become, for a look at the reference"""


class Drawn:
    """An edit by the live graph's own compositor, of somebody who speaks: in a picture alone, too,
    the mouth's opening stays."""

    def __init__(self, renderer: Renderer, ask: Ask, label: str) -> None:
        self._renderer, self._ask = renderer, ask
        self.label = ", ".join(part for part in (label, renderer.label) if part)

    def __call__(self, frame: VideoFrame, face: FaceTrack, look: Look) -> U8:
        speaking = replace(frame, name="")  # one that has a name is of who is silent
        return self._renderer.process(speaking, face, self._ask(face, look)).pixels


def rig_copied(face: FaceTrack, look: Look) -> FaceEdit:
    """The reference's shapes as they are, the mouth's among them."""
    return FaceEdit(
        capture_ns=face.capture_ns,
        active=face.found,
        source=face.blendshapes,
        target=look.track.blendshapes,
    )


def feeling_copied(face: FaceTrack, look: Look) -> FaceEdit:
    """The reference's shapes that show a feeling; the others, of speech, stay."""
    shapes = look.track.blendshapes
    return FaceEdit(
        capture_ns=face.capture_ns,
        active=face.found,
        source=face.blendshapes,
        target=np.where(FEELING, shapes, face.blendshapes).astype(np.float32),
        expression=amounts_in(shapes),
    )


class ByReading:
    """Asks for what was read of a reference. Raises MienError without a network to read with."""

    def __init__(self, weights: str) -> None:
        self._reader = ReferenceReader(weights)
        self._known: WeakKeyDictionary[Look, Reference] = WeakKeyDictionary()

    def __call__(self, face: FaceTrack, look: Look) -> FaceEdit:
        reference = self.worn(face, self.read(look))
        return FaceEdit(
            capture_ns=face.capture_ns,
            active=face.found,
            source=face.blendshapes,
            target=face.blendshapes,
            expression=reference.expression,
            removed=removed_for(face.blendshapes, reference.expression, self._reader.people),
            beyond=reference.beyond,
        )

    def read(self, look: Look) -> Reference:
        """Once for each look. Raises MienError."""
        if look not in self._known:
            self._known[look] = self._reader.read(look.pixels, "the reference")[0]
        return self._known[look]

    def worn(self, face: FaceTrack, reference: Reference) -> Reference:
        """The reference as this face is to wear it."""
        return reference


class Learned(ByReading):
    """The same, after the network `reference` (SSERD). Raises MienError without it."""

    def __init__(self, weights: str) -> None:
        super().__init__(weights)
        self._network = ReferenceNetwork(weights)

    def worn(self, face: FaceTrack, reference: Reference) -> Reference:
        return self._network(face.blendshapes, reference)


class OwnFaces:
    """What is read of a reference, worn with the person's own faces: those that were shown."""

    def __init__(self, weights: str) -> None:
        from face.render.actor import Actor

        self.label = "what is read of the reference, drawn with the person's other pictures"
        self._ask, self._rig = ByReading(weights), load_rig()
        self._actor = Actor(self._rig, Context(), weights=weights, threads=1)
        self._watch = Watch(self._rig, load_surface(), load_people(weights))

    def show(self, pictures: Iterable[tuple[Look, str]]) -> None:
        """Remember these instead, each with the emotion that it shows; another take begins."""
        self._actor.stage(Repertoire(self._face(look, emotion) for look, emotion in pictures))

    def _face(self, look: Look, emotion: str) -> Face:
        track = look.track
        there = self._rig.place(track.landmarks)
        return self._watch.face(look.pixels, track.landmarks, there, track.blendshapes, emotion)

    def __call__(self, frame: VideoFrame, face: FaceTrack, look: Look) -> U8:
        edit = self._ask(face, look)
        if not face.found:
            return frame.pixels
        there = self._rig.place(face.landmarks)
        return self._actor.render(frame.pixels, face.landmarks, there, edit, step_s=STEP_NS / 1e9)


@dataclass(frozen=True)
class Way:
    """``make`` makes a method of a folder of weights, if it ``learned`` any; what doesn't ship
    with every such folder (``ships``) is asked for by name."""

    make: Callable[[str], Method]
    learned: bool = True
    ships: bool = True


def _untouched(weights: str) -> Method:
    still = Untouched()
    return Drawn(still, rig_copied, "")


def _warped(ask: Ask, label: str, weights: str) -> Method:
    return Drawn(Edited("warp"), ask, label)


def _read(weights: str) -> Method:
    drawn = Edited("faces", weights, remember=False)
    return Drawn(drawn, ByReading(weights), "what is read of the reference, drawn without memory")


def _one_stage(run: str) -> Method:
    from training.evaluation.cdrl_methods import one_stage  # needs torch

    return one_stage(run)


def _two_stage(run: str) -> Method:
    from training.evaluation.cdrl_methods import first_stage  # needs torch

    return Drawn(Edited("warp"), first_stage(run), "reference -> rig -> picture")


def _learned(weights: str) -> Method:
    drawn = Edited("faces", weights, remember=False)
    return Drawn(drawn, Learned(weights), "SSERD's latent codes, drawn without memory")


METHODS: Final[dict[str, Way]] = {
    "none": Way(_untouched, learned=False),
    "warp": Way(partial(_warped, feeling_copied, "feeling shapes"), learned=False),
    "rig copy": Way(partial(_warped, rig_copied, "all shapes"), learned=False),
    "reading": Way(_read),
    "own faces": Way(OwnFaces, ships=False),
    "sserd": Way(_learned, ships=False),
    "one-stage": Way(_one_stage, ships=False),
    "two-stage": Way(_two_stage, ships=False),
}


def _weights_of(kind: str, weights: Sequence[str]) -> Sequence[str]:
    """Those of a method: what is given for it alone, else for all."""
    named = [given.partition(":") for given in weights]
    own = [rest for method, _, rest in named if method == kind]
    everybodys = [given for given in weights if given.partition(":")[0] not in METHODS]
    return own or everybodys or [""]


class Cast:
    """Methods by the name of their row, each with weights that never saw who is judged."""

    def __init__(
        self, kinds: Sequence[str], weights: Sequence[str], people: Sequence[str], fold: str = ""
    ) -> None:
        """``weights`` are FOLDER or NAME=FOLDER, a row each of what learned, or METHOD:FOLDER and
        METHOD:NAME=FOLDER, of that method alone; {} in one stands for the number of the fold, of
        ``fold`` N, that holds a person. Raises MienError."""
        if unknown := [kind for kind in kinds if kind not in METHODS]:
            raise UsageError(f"a method is one of {', '.join(METHODS)}, not {unknown[0]}")
        folded = [given for given in weights if "{}" in given]
        if bool(fold) != bool(folded) or (fold and not fold.isdecimal()):
            raise UsageError(
                "--fold N goes with --weights in whose name {} stands for the fold's number"
            )
        self._folds = fold and [set(in_fold(people, f"{k}/{fold}")) for k in range(int(fold))]
        self._ways: dict[str, tuple[Way, str]] = {}
        for kind in kinds:
            way = METHODS[kind]
            own = _weights_of(kind, weights) if way.learned else [""]
            for given in own:
                name, _, folder = given.rpartition("=")
                row = f"{kind}, {name or Path(folder).name}" if len(own) > 1 else kind
                if row in self._ways:
                    raise UsageError(f"two rows are called {row}; name them NAME=FOLDER")
                self._ways[row] = (way, folder)
        self._made: dict[tuple[str, str], Method] = {}

    @property
    def names(self) -> list[str]:
        return list(self._ways)

    def of(self, person: str) -> dict[str, Method]:
        """Those that may edit this person. Raises MienError."""
        return {name: self._method(name, person) for name in self._ways}

    @property
    def labels(self) -> dict[str, str]:
        """What each row is, of those that were used."""
        return {name: method.label for (name, _), method in self._made.items()}

    def _method(self, name: str, person: str) -> Method:
        way, folder = self._ways[name]
        if "{}" in folder:
            folder = folder.replace("{}", str(self._fold_of(person)))
        if (name, folder) not in self._made:
            if folder:
                folder_of(folder)
            self._made[name, folder] = way.make(folder)
        return self._made[name, folder]

    def _fold_of(self, person: str) -> int:
        for number, fold in enumerate(self._folds):
            if person in fold:
                return number
        raise MienError(f"nobody called {person} is in any fold")
