"""A picture, or a clip, whose expression is to be worn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from engine.errors import EndOfStream
from engine.node import Source
from engine.parameters import parameter
from engine.types import Message, Outputs
from face.types import ReferenceTrack
from nodes import parameters


class Reference(Source):
    """Read references once, at the start. -> reference: what they show; nothing without a path."""

    outputs: ClassVar[Mapping[str, type[Message]]] = {"reference": ReferenceTrack}

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Config:
        path: str = parameter(
            "",
            "a picture or a clip; several on a line each, FILE or FILE:SHARE, are blended",
            live=False,
        )
        clip: Literal["loop", "mean"] = parameter(
            "loop", "a clip is played over and over in its own time, or worn as its mean",
            live=False,
        )  # fmt: skip
        weights: str = parameters.weights()
        landmarker: str = parameters.landmarker()

    config: Config

    def setup(self) -> None:
        if not self.config.path:
            return
        from face.reference import ReferenceReader
        from face.reference_file import read_file, shared, track_of

        named = [shared(line) for line in self.config.path.splitlines()]
        reader = ReferenceReader(self.config.weights, self.config.landmarker)
        try:
            read = [read_file(file, reader) for file, _ in named]
        finally:
            reader.close()
        if notes := "; ".join(note for _, lines in read for note in lines):
            self.context.status("degraded", notes)
        shares = [share for _, share in named]
        now_ns = self.context.clock.now_ns()
        track = track_of([rows for rows, _ in read], shares, now_ns, self.config.clip)
        self.context.emit("reference", track)

    def read(self) -> Outputs:
        """All was read before the first picture came."""
        raise EndOfStream
