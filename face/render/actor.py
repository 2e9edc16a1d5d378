"""One person on the stage: who it is, what is remembered of them, and how they are drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from engine.errors import MienError
from engine.node import Context
from engine.types import F32, U8
from face.expression.people import load_people
from face.render import person_file
from face.render.likeness import Likeness
from face.render.portrait import Portrait
from face.render.renderer import FaceRenderer
from face.render.repertoire import Face, Repertoire
from face.render.request import Request
from face.render.skin import Skin
from face.render.surface import load_surface
from face.render.watch import Watch
from face.rig import Placement, Rig
from face.types import FaceEdit
from inference.weight_sets import left_out

if TYPE_CHECKING:
    from inference.model import Backend

NO_SKIN = "own faces and real people's shapes (OpenCV, CPU)"


class Actor:
    """Memory, statistics and skin network of who is seen. Raises MienError without weights, or
    where an enrolled ``person`` can't be read.

    After a cut, or a face that was lost, somebody else may stand there: what is remembered isn't
    used again before it is sure that it is theirs.
    """

    def __init__(
        self,
        rig: Rig,
        context: Context,
        weights: str = "",
        person: str = "",
        backend: Backend = "auto",
        threads: int = 2,
        beside: bool = False,
    ) -> None:
        self._people, surface = load_people(weights), load_surface()
        self._context = context
        self._rig = rig
        self._person = _enrolled(person)
        self._complaints: dict[str, str] = {}
        """why faces are drawn less well than they could be, by cause"""
        self._skin = self._skin_or_none(weights, backend, threads, beside)
        self._renderer = FaceRenderer(rig, surface, self._people, self._skin)
        self._watch = Watch(rig, surface, self._people)
        self._remembered = self._person.repertoire() if self._person else self.repertoire
        self._doubt: Likeness | None = None
        self._before_labels: Repertoire | None = None
        self.reset()

    @property
    def repertoire(self) -> Repertoire:
        """What is remembered of who is seen; empty while that isn't sure."""
        return self._renderer.repertoire

    def expect(self, person: str) -> None:
        """An enrolled person's faces from here on, or whoever's are seen: "". Raises MienError, and
        nothing has changed then."""
        self._person = _enrolled(person)
        self.stage(self._person.repertoire() if self._person else Repertoire())
        self._watch.reset()
        self._complain("person", "")
        self._context.gauge("remembered", len(self.repertoire))
        self.reset()

    def enrol(self, name: str) -> None:
        """Keep what is remembered of who is seen as a person of this name. Raises MienError."""
        person = person_file.Person(name, self.repertoire.faces, self.repertoire.still)
        person_file.save(person, person_file.place_of(name))
        self._before_labels = None

    def unsay(self) -> None:
        """Forget what was remembered since somebody first said what their face shows, unless it
        was enrolled meanwhile."""
        if self._before_labels is not None:
            doubted = self._doubt is not None
            self.stage(self._before_labels)
            if doubted:
                self.reset()
            self._context.gauge("remembered", len(self.repertoire))

    def stage(self, repertoire: Repertoire) -> None:
        """Somebody whose faces are known, without a doubt."""
        self._renderer.reset()
        self._remembered = self._renderer.repertoire = repertoire
        self._doubt = self._before_labels = None

    def reset(self) -> None:
        """Another picture, and maybe somebody else."""
        self._renderer.reset()
        if len(self._remembered):
            self._doubt = Likeness(self._remembered, self._people)
            self._renderer.repertoire = Repertoire()

    def portrait(self, request: Request) -> Portrait:
        """A still picture's face that will be drawn again and again, with what is known of its
        person."""
        if self._person is not None:
            self._doubt = None
            self._renderer.repertoire = self._remembered
        return Portrait(request, self._renderer, self._rig)

    def close(self) -> None:
        """Free the network."""
        if self._skin is not None:
            self._skin.close()

    def watch(
        self,
        picture: U8,
        landmarks: F32,
        placement: Placement,
        rig: F32,
        step_s: float,
        label: str = "",
    ) -> None:
        """Remember this face, if it is worth it; what it expresses is read, or ``label``."""
        if self._doubt is not None:
            self._settle(self._doubt(self._watch.face(picture, landmarks, placement, rig)))
            return
        if label:
            if self._before_labels is None:
                self._before_labels = Repertoire(self.repertoire.faces, self.repertoire.still)
            face: Face | None = self._watch.labelled(
                self.repertoire, picture, landmarks, placement, rig, label, step_s
            )
        else:
            face = self._watch(self.repertoire, picture, landmarks, placement, rig, step_s)
        if face is not None:
            self.repertoire.add(face)
            self.repertoire.consider(picture, landmarks, face)
            self._context.gauge("remembered", len(self.repertoire))

    def recognize(self, picture: U8, landmarks: F32, placement: Placement, rig: F32) -> None:
        """Whether a picture of its own shows who is remembered: there is but one look."""
        if self._doubt is not None:
            face = self._watch.face(picture, landmarks, placement, rig)
            self._settle(self._doubt.at_once(face))

    def _skin_or_none(
        self, weights: str, backend: Backend, threads: int, beside: bool
    ) -> Skin | None:
        if left_out("skin", weights):
            self._context.gauge("backend", NO_SKIN)
            self._complain("skin", "")
            return None
        try:
            return Skin(weights, self._context, backend, threads, beside)
        except MienError as error:
            self._context.gauge("backend", NO_SKIN)
            self._complain("skin", f"{error}; light and shade stay as they are")
            return None

    def _complain(self, cause: str, text: str) -> None:
        """Say it beside what other causes say; nothing any more of this one: ""."""
        self._complaints[cause] = text
        complaint = "; ".join(filter(None, self._complaints.values()))
        self._context.status("degraded" if complaint else "ok", complaint)

    def _settle(self, same: bool | None) -> None:
        if same is None:
            return
        self._doubt = None
        if same:
            self._renderer.repertoire = self._remembered
            self._complain("person", "")
        elif self._person is not None:
            self._renderer.repertoire = Repertoire()
            self._complain(
                "person",
                f"this face doesn't look like {self._person.name}; their faces aren't used",
            )
        else:
            self._remembered = self._renderer.repertoire = Repertoire()
            self._before_labels = None
            self._watch.reset()
        self._context.gauge("remembered", len(self.repertoire))

    def render(
        self,
        picture: U8,
        landmarks: F32,
        placement: Placement,
        edit: FaceEdit,
        *,
        strength: float = 1.0,
        every: int = 1,
        still: bool = False,
        step_s: float = 0.0,
        out: U8 | None = None,
    ) -> U8:
        """The picture [H, W, 3] with the face that was asked for."""
        request = Request(
            picture=picture,
            landmarks=landmarks,
            placement=placement,
            rig=edit.source,
            expression=edit.expression * np.float32(strength),
            removed=edit.removed * strength,
            beyond=edit.beyond * np.float32(strength),
            free=edit.parts * (1.0 if still else edit.opens),
            still=still,
            step_s=step_s,
            every=every,
        )
        return self._renderer.render(request, out)


def _enrolled(person: str) -> person_file.Person | None:
    return person_file.load(person_file.place_of(person)) if person else None
