"""Train what edits by reference: hybrid training of CELCL (SSERD, section 3.3, eq. 13-14).

Half of a batch are strict pairs, whose target is known: pixels and perception. The other half are
real pictures without one, held against the discriminator alone. Each source has two references that
feel what is wanted: one of the same person and one of somebody else.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
import torch
from torch import Tensor, nn

from engine.errors import UsageError
from engine.types import F32
from face.reference_network import UNREAD
from face.types import BLENDSHAPES, EMOTIONS
from inference.terms import together
from training.data.pairs import FILE, Pairs, calm_talk, shown
from training.directions import from_own_neutral, mean_directions, speech_basis
from training.loop import Batch, Parts, Trainer
from training.losses import reference as losses
from training.models.celcl import Reference
from training.models.generator import Canvas
from training.models.intensity import READING
from training.models.latent import DRAWN, LatentEncoder, drawn
from training.models.visual import VisualEncoder
from training.provenance import sha256_of
from training.recipe import Recipe
from training.restore import restore
from training.trainers.drawing import (
    Critic,
    Drawing,
    DrawingPlan,
    face_of,
    people_learned_from,
)
from training.trainers.inversion import CANVAS, encode
from training.trainers.looks import NEUTRAL, Canvases, Looks, looks_of
from training.trainers.samples import Array, Clips

CHOICES: Final = 4
"""references of which the one of the most similar intensity is taken"""


@dataclass(frozen=True, kw_only=True)
class ReferencePlan(DrawingPlan):
    """What is drawn."""

    synthetic: float
    """share of strict pairs; the rest is real and unpaired (eq. 14)"""
    unread: float
    """how often nothing is known of what the source feels but its shapes"""
    alpha: float
    """of perception beside pixels (eq. 14)"""
    codes_first: int
    """steps at first in which no picture is drawn: strict pairs' latents alone teach"""
    codes: int
    """pairs of such a step"""
    along: bool
    """pairs of such a step lie along the directions of emotions (eq. 12), as far as their reference
    does, of every picture; else they are the strict pairs that were drawn"""


@dataclass(frozen=True, kw_only=True)
class ReferenceLosses:
    """Weights of the losses (eq. 14). Mean squares are small: beside them, lambda is less."""

    supervised: float
    """L_pix and alpha times L_lpips, of strict pairs (eq. 13)"""
    latent: float
    """of strict pairs, what is drawn of the latent against the pair's own: not in the paper, whose
    latents are told by their pictures alone; of ours each number means something"""
    adversarial: float
    """L_adv, lambda 1"""
    contrastive: float
    """L_cl, lambda 2"""


@dataclass(frozen=True, eq=False)
class Variant:
    """A base picture in an emotion: its label, the change that makes it [60], what is seen of it
    [63], and how strong it is."""

    label: int
    change: F32
    seen: F32
    measured: float


class ReferenceTrainer(Trainer):
    averaged: ClassVar[tuple[str, ...]] = ("reference",)

    def __init__(self, recipe: Recipe, data: Path, runs: Mapping[str, Path]) -> None:
        super().__init__(recipe)
        self.plan: ReferencePlan = recipe.plan
        self.leans_on, self._data = dict(runs), data
        self._visual = restore(runs["visual"], "visual", VisualEncoder)
        encoder = restore(runs["inversion"], "inversion", LatentEncoder)
        if encoder.size.features != recipe.size.latent:
            raise UsageError("inversion was trained for another size of reference")
        self._take(Clips(data, "train", lambda info, frames: frames > 0))
        self.drawing = Drawing(self.looks, self.plan)
        if self.plan.along and self.plan.codes_first:
            self.ways, self.far = ways(self.looks, encoder)
        network = recipe.build()
        assert isinstance(network, Reference)
        network.encoder.load_state_dict(encoder.state_dict())
        network.encoder.requires_grad_(False)
        self.modules = {"reference": network, "critic": Critic(self.plan.channels)}

    def _take(self, clips: Clips) -> None:
        self.clips, self.looks = clips, looks_of(clips, self._visual, self.plan.every)
        self.canvases = Canvases(self.looks, self.plan.side_px)
        self.variants: dict[int, list[Variant]] = {}
        if self.plan.synthetic > 0:
            self.variants = variants(self.looks, Pairs.load(self._data / FILE))
        self.bases = sorted(self.variants)
        self.made: dict[tuple[str, int], list[tuple[int, Variant]]] = defaultdict(list)
        for base, own in self.variants.items():
            for variant in own[1:]:
                self.made[self.looks.subject[base], variant.label].append((base, variant))

    def held_out(self) -> ReferenceTrainer | None:
        """Real pictures alone: pairs are made of those that are learned from."""
        return None

    def learned_from(self) -> dict[str, Any]:
        known = super().learned_from() | people_learned_from(self.plan.people)
        if self.variants:
            path, count = self._data / FILE, sum(len(own) - 1 for own in self.variants.values())
            known[sha256_of(path)] = {
                "name": path.name, "clips": count, "synthetic_clips": count, "people": [],
                "sources": ["pairs"], "licences": ["as of what they are made of"],
                "nc": together(shard["nc"] for shard in known.values()),
            }  # fmt: skip
        return known

    def draw(self, rng: np.random.Generator, step: int) -> Mapping[str, Array]:
        if (self.bases or self.plan.along) and step < self.plan.codes_first:
            return self.clips.gather(
                self.plan.codes,
                lambda: self._along(rng) if self.plan.along else self._strict(rng, drawn=False),
                "makes a pair of emotions",
            )
        return self.clips.gather(
            self.recipe.schedule.batch, lambda: self._row(rng), "makes a pair of emotions"
        )

    def _row(self, rng: np.random.Generator) -> dict[str, Array] | None:
        strict = bool(self.bases) and rng.random() < self.plan.synthetic
        return self._strict(rng) if strict else self._unpaired(rng)

    def _strict(self, rng: np.random.Generator, drawn: bool = True) -> dict[str, Array] | None:
        """A picture of one emotion that is to feel another, with the same mouth; ``drawn``: with
        what it takes to draw it."""
        base = self.bases[rng.integers(len(self.bases))]
        own = self.variants[base]
        source, target = (own[int(n)] for n in rng.choice(len(own), 2, replace=False))
        label, subject = target.label, self.looks.subject[base]
        other = self._other(label, subject, target.measured, rng)
        if other is None:
            return None
        real = [p for p in self.looks.by_subject.get((subject, label), []) if p != base]
        made = [v for b, v in self.made.get((subject, label), []) if b != base]
        seen = [self.looks.seen[p] for p in real] + [v.seen for v in made] or [target.seen]
        same = seen[rng.integers(len(seen))]
        row = self._seen(base, source.seen, target.change, same, other, label, rng)
        return row | self._pictures(base, other, strict=1) if drawn else row

    def _along(self, rng: np.random.Generator) -> dict[str, Array] | None:
        """A real picture moved along directions alone: from what it feels to what a reference does,
        as far as each lies from calm."""
        labels = list(self.looks.by_emotion)
        source, label = (int(e) for e in rng.choice(labels, 2, replace=False))
        base = int(rng.choice(self.looks.by_emotion[source]))
        subject, other = self.looks.subject[base], int(rng.choice(self.looks.by_emotion[label]))
        if self.looks.subject[other] == subject:
            return None
        own = self.looks.by_subject.get((subject, label), [other])
        same = int(own[rng.integers(len(own))])
        change = self.far[other] * self.ways[label] - self.far[base] * self.ways[source]
        seen = self.looks.seen
        return self._seen(base, seen[base], change, seen[same], other, label, rng)

    def _unpaired(self, rng: np.random.Generator) -> dict[str, Array] | None:
        """A real picture that is to feel another emotion, and nothing to compare with."""
        labels = list(self.looks.by_emotion)
        source, label = (int(e) for e in rng.choice(labels, 2, replace=False))
        base = int(rng.choice(self.looks.by_emotion[source]))
        subject = self.looks.subject[base]
        other = self._other(label, subject, float(rng.uniform(0.3, 0.9)), rng)
        if other is None:
            return None
        own = self.looks.by_subject.get((subject, label), [other])
        seen, still = self.looks.seen, np.zeros(DRAWN, np.float32)
        same = seen[own[rng.integers(len(own))]]
        row = self._seen(base, seen[base], still, same, other, label, rng)
        return row | self._pictures(base, other, strict=0)

    def _other(
        self, label: int, subject: str, measured: float, rng: np.random.Generator
    ) -> int | None:
        """A real picture of somebody else in an emotion, about as strong."""
        known = self.looks.by_emotion.get(label)
        if known is None:
            return None
        drawn = [int(place) for place in rng.choice(known, CHOICES)]
        others = [place for place in drawn if self.looks.subject[place] != subject]
        readings = self.looks.reading

        def apart(place: int) -> float:
            return abs(float(readings[place, label] * readings[place, -1]) - measured)

        return min(others, key=apart, default=None)

    def _seen(
        self, base: int, source: F32, change: F32, same: F32, other: int, label: int,
        rng: np.random.Generator,
    ) -> dict[str, Array]:  # fmt: skip
        source = source.copy()
        if rng.random() < self.plan.unread:
            source[-READING:] = UNREAD
        return {
            "of_canvas": self.looks.seen[base],
            "source": source,
            "same": same,
            "other": self.looks.seen[other],
            "change": change,
            "label": np.array(label, np.int64),
        }

    def _pictures(self, base: int, other: int, strict: int) -> dict[str, Array]:
        real = self.canvases[other]
        return self.canvases[base] | {
            "real": real["picture"],
            "real_skin": real["skin"],
            "strict": np.array(strict, np.int64),
        }

    def losses(self, batch: Batch, step: int) -> Iterator[tuple[str, Parts, Mapping[str, float]]]:
        network, critic = self.modules["reference"], self.modules["critic"]
        assert isinstance(network, Reference) and isinstance(critic, Critic)
        label = torch.cat([batch["label"]] * 2)
        codes, asked = self._asked(network, batch)
        flat, cached = codes.flatten(1), critic.remembered.draw(len(codes))
        contrastive = losses.info_nce(flat, cached, label, self.plan.temperature)
        if "picture" not in batch:
            still = sum((p.sum() * 0 for p in critic.parameters()), torch.zeros(()))
            yield "critic", {"discriminator": still}, {"discriminator": 1.0}
            off = (asked - batch["change"].repeat(2, 1)).square().mean()
            critic.remembered.add(flat, label)
            yield "reference", {"latent": off, "contrastive": contrastive}, self.weights
            return
        canvas: Canvas = {name: batch[name] for name in CANVAS}
        pictures = [self.drawing.generator.draw(change, canvas) for change in asked.chunk(2)]
        made = face_of(torch.cat(pictures), _twice(canvas))
        real = face_of(batch["real"], {"skin": batch["real_skin"]})
        apart = losses.told_apart(critic.discriminator(real), critic.discriminator(made.detach()))
        yield "critic", {"discriminator": apart}, {"discriminator": 1.0}
        parts = {
            "supervised": self._supervised(batch, canvas, made),
            "latent": self._latent(batch, asked),
            "adversarial": losses.taken_for_real(critic.discriminator(made)),
            "contrastive": contrastive,
        }
        critic.remembered.add(flat, label)
        yield "reference", parts, self.weights

    def _asked(self, network: Reference, batch: Batch) -> tuple[Tensor, Tensor]:
        """The emotion's codes [2B, N, D], by the same person's references and by others', and the
        change of the canvas that they ask for [2B, K]."""
        with torch.no_grad():
            of_canvas, source, same, other = (
                encode(network.encoder, batch[n]) for n in ("of_canvas", "source", "same", "other")
            )
        codes = network.celcl(torch.cat([source, source]), torch.cat([same, other]))
        return codes, drawn(torch.cat([source, source]) + codes) - drawn(of_canvas).repeat(2, 1)

    def _latent(self, batch: Batch, asked: Tensor) -> Tensor:
        """Mean squared difference of what is asked for and the pair's change, of strict pairs."""
        strict = torch.cat([batch["strict"], batch["strict"]]) > 0
        if not strict.any():
            return asked.sum() * 0
        return (asked - batch["change"].repeat(2, 1))[strict].square().mean()

    def _supervised(self, batch: Batch, canvas: Canvas, made: Tensor) -> Tensor:
        """Eq. 13, of the strict pairs alone."""
        strict = batch["strict"] > 0
        if not strict.any():
            return made.sum() * 0
        with torch.no_grad():
            target = face_of(self.drawing.generator.draw(batch["change"], canvas), canvas)
        chosen = torch.cat([strict, strict])
        return self.drawing.likeness(
            made[chosen], torch.cat([target, target])[chosen], self.plan.alpha
        )

    def pictures(self, batch: Batch, averaged: Mapping[str, nn.Module]) -> Mapping[str, Tensor]:
        """The canvas, the target where there is one, by the same person's reference, by another's,
        and the other reference."""
        network = averaged["reference"]
        assert isinstance(network, Reference)
        if "picture" not in batch:
            return {}
        canvas: Canvas = {name: batch[name] for name in CANVAS}
        asked = self._asked(network, batch)[1]
        made = [self.drawing.generator.draw(change, canvas) for change in asked.chunk(2)]
        target = self.drawing.generator.draw(batch["change"], canvas)
        row = [batch["picture"], target, *made, batch["real"]]
        return {"faces": torch.cat([torch.cat(list(one[:4]), dim=1) for one in row], dim=2)}


def ways(looks: Looks, encoder: LatentEncoder) -> tuple[F32, F32]:
    """What is drawn of the unit step towards each emotion [8, 60], nothing towards calm; and how
    far along its own emotion's each picture lies from calm ones [N], 0 at least.

    Where pictures of an emotion lie on average, the whole of its statistics is drawn: E's own
    amounts tell appearance alone, and a face that is moved by shapes alone is read as calm.
    """
    with torch.no_grad():
        codes = encode(encoder, torch.from_numpy(looks.seen)).numpy()
    own, known = from_own_neutral(codes, looks.label, looks.subject)
    found = mean_directions(own[known], looks.label[known], speech_basis(*calm_talk(looks, codes)))
    calm = codes[looks.label == NEUTRAL].mean(axis=0)
    steps, far = np.zeros((len(EMOTIONS), DRAWN), np.float32), np.zeros(len(looks), np.float32)
    for emotion, way in found.items():
        there = looks.label == emotion
        far[there] = np.maximum(np.tensordot(codes[there] - calm, way, 2), 0)
        steps[emotion] = shown(way)
        steps[emotion, len(BLENDSHAPES) :] = 0
        steps[emotion, len(BLENDSHAPES) + emotion] = 1 / max(float(far[there].mean()), 1e-3)
    return steps, far


def variants(looks: Looks, pairs: Pairs) -> dict[int, list[Variant]]:
    """Of each picture that pairs are made of: itself, and each emotion that it was given."""
    names = {index: looks.clips.infos[index].key for index in set(looks.clip.tolist())}
    where = {
        (names[int(clip)], int(frame)): place
        for place, (clip, frame) in enumerate(zip(looks.clip, looks.frame, strict=True))
    }
    found: dict[int, list[Variant]] = {}
    for row, (key, frame) in enumerate(zip(pairs.key, pairs.frame, strict=True)):
        place = where.get((str(key), int(frame)))
        if place is None:
            continue
        calm = Variant(NEUTRAL, np.zeros(DRAWN, np.float32), looks.seen[place], 0.0)
        found.setdefault(place, [calm]).append(
            Variant(
                int(pairs.emotion[row]), pairs.change[row], pairs.seen[row],
                float(pairs.measured[row]),
            )
        )  # fmt: skip
    return found


def _twice(canvas: Canvas) -> Canvas:
    return {name: torch.cat([value, value]) for name, value in canvas.items()}
