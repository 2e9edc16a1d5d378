"""What the answers of a cross-validation come to: lines to read, and figures for a card."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress
from typing import Final

import numpy as np
from numpy.typing import NDArray

from face.types import EMOTIONS
from training.data.clip import Clip, ClipInfo
from training.evaluation import talkers
from training.evaluation.on_card import Findings
from training.metrics.calibration import applied, expected_error, held_out
from training.metrics.classes import Verdict, judge
from training.models.speech import SHADES
from training.trainers.speech import LABELS, label_of

Floats = NDArray[np.float32]
Answers = Sequence[tuple[Clip, Floats]]
"""recordings, and log-probabilities of EMOTIONS or LABELS for each"""
FACES: Final = tuple(name for name in EMOTIONS if name != "contempt")
"""the seven of most face sets"""
VOICES: Final = tuple(name for name in LABELS if name != "contempt")
"""those that acted voices are recorded as"""
TABLE: Final = "people_not_learned_from"
"""of a card: figures of people left out"""


def logits_of(rows: Answers, names: Sequence[str]) -> Floats:
    every = EMOTIONS if len(rows[0][1]) == len(EMOTIONS) else LABELS
    return np.stack([answer[[every.index(name) for name in names]] for _, answer in rows])


def truth_of(rows: Answers, names: Sequence[str]) -> NDArray[np.int64]:
    return np.array([names.index(label_of(clip.info)) for clip, _ in rows])


def summary(
    title: str,
    rows: Answers,
    names: Sequence[str],
    person_of: dict[str, str],
) -> list[str]:
    lines = _verdict(rows, names, person_of).lines(names)
    return [f"{title}: {lines[0]}", *lines[1:]]


def _verdict(rows: Answers, names: Sequence[str], person_of: dict[str, str]) -> Verdict:
    truth, predicted = truth_of(rows, names), logits_of(rows, names).argmax(axis=1)
    return judge(truth, predicted, [person_of[clip.info.subject] for clip, _ in rows], len(names))


def calibrated(
    rows: Answers,
    names: Sequence[str],
    person_of: dict[str, str],
    evenly: float,
) -> Floats:
    """Probabilities [N, C], each person's calibrated on all the others."""
    people = [person_of[clip.info.subject] for clip, _ in rows]
    return held_out(logits_of(rows, names), truth_of(rows, names), people, evenly)


def of_voices(
    met: str,
    asked: Answers,
    probabilities: Floats,
    person_of: dict[str, str],
    found: Findings,
) -> None:
    """Of each source: how well its own classes are told apart, then with all that counts as neutral
    as one, and what becomes of that. ``met``: how its speakers were."""
    sources = np.array([clip.info.source for clip, _ in asked])
    for source in np.unique(sources):
        rows = list(compress(asked, sources == source))
        held = {label_of(clip.info) for clip, _ in rows}
        own = [name for name in VOICES if name in held]
        people = [person_of[clip.info.subject] for clip, _ in rows]
        answers = probabilities[sources == source][:, [VOICES.index(name) for name in own]]
        verdict = judge(truth_of(rows, own), answers.argmax(axis=1), people, len(own))
        folded = [(clip, _neutral_whole(answer)) for clip, answer in rows]
        truth = np.array([EMOTIONS.index(_folded(clip.info)) for clip, _ in folded])
        predicted = np.stack([answer for _, answer in folded]).argmax(axis=1)
        whole = judge(truth, predicted, people, len(EMOTIONS))
        found.lines += (
            "",
            *summary(f"{source}, {met}, {len(own)} classes", rows, own, person_of),
            f"calibrated on other people: {verdict.lines(own)[0]}",
            f"{source}, {met}, shades as neutral: {whole.lines(EMOTIONS)[0]}",
        )
        name = f"{source}_{'strangers' if met == 'strangers' else 'heard'}"
        found.tables[TABLE] |= {
            f"{source}_samples": len(rows),
            f"{source}_people": len(set(people)),
            f"{source}_classes": len(own),
            **_accuracy(name, verdict),
            **_accuracy(f"{name}_uncalibrated", _verdict(rows, own, person_of)),
        }
        neutral = predicted[truth == EMOTIONS.index("neutral")]
        if len(neutral):
            share = float(np.isin(neutral, [EMOTIONS.index(n) for n in ("sad", "angry")]).mean())
            found.lines.append(f"of what is neutral {share:.3f} is taken for sad or angry")
            found.tables[TABLE][f"{name}_uncalibrated_neutral_taken_for_sad_or_angry"] = share


def _accuracy(name: str, verdict: Verdict) -> dict[str, float]:
    return {
        f"{name}_accuracy": verdict.accuracy,
        f"{name}_accuracy_low": verdict.low,
        f"{name}_accuracy_high": verdict.high,
    }


def of_faces(
    rows: Answers,
    probabilities: Floats,
    names: Sequence[str],
    person_of: dict[str, str],
    found: Findings,
) -> None:
    """Of each source: as it is, and once calibrated on other people."""
    truth = truth_of(rows, names)
    sources = np.array([clip.info.source for clip, _ in rows])
    for source in np.unique(sources):
        own = sources == source
        those = list(compress(rows, own))
        error = expected_error(probabilities[own], truth[own])
        whose = [person_of[clip.info.subject] for clip, _ in those]
        verdict = judge(truth[own], probabilities[own].argmax(axis=1), whose, len(names))
        found.lines += (
            "",
            *summary(source, those, names, person_of),
            f"calibrated on other people: {verdict.lines(names)[0]}; calibration error {error:.3f}",
        )
        found.tables[TABLE] |= {
            f"{source}_samples": len(those),
            f"{source}_people": len(set(whose)),
            **_accuracy(source, verdict),
            **_accuracy(f"{source}_uncalibrated", _verdict(those, names, person_of)),
            f"{source}_calibration_error": error,
        }


def of_talkers(
    watched: Answers, fit: tuple[Floats, float], names: Sequence[str], found: Findings
) -> None:
    """Films of people who talk calmly: as they are, and with the bias and temperature of a ``fit``
    on stills."""
    bias, temperature = fit
    lift = lift_of(bias, names, EMOTIONS)
    films = [(film, answer / temperature + lift) for film, answer in watched]
    before, after = talkers.verdict(watched), talkers.verdict(films)
    found.lines += (
        "",
        f"who talks calmly: {before.line()}",
        f"once stills have calibrated it: {after.line()}",
    )
    found.tables["calm_talkers_not_learned_from"] = after.figures()


def lift_of(bias: Floats, names: Sequence[str], every: Sequence[str]) -> Floats:
    """A bias for each of ``every``, of those for ``names``; the others are left as they are."""
    lift = np.zeros(len(every), np.float32)
    lift[[every.index(name) for name in names]] = bias
    return lift


def _folded(info: ClipInfo) -> str:
    return "neutral" if label_of(info) in SHADES else info.label


def _neutral_whole(answer: Floats) -> Floats:
    """Log-probabilities of LABELS as those of EMOTIONS."""
    eight, place = answer[: len(EMOTIONS)].copy(), EMOTIONS.index("neutral")
    eight[place] = np.logaddexp.reduce([eight[place], *answer[len(EMOTIONS) :]])
    return eight


def confidence(rows: Answers, probabilities: Floats, names: Sequence[str], found: Findings) -> None:
    """How far confidence lies from what is right: as it is, and calibrated on other people."""
    truth = truth_of(rows, names)
    plain = applied(logits_of(rows, names), np.zeros(len(names)), 1.0)
    error = expected_error(probabilities, truth)
    found.lines += (
        "",
        f"calibration error {expected_error(plain, truth):.3f}, calibrated on other people "
        f"{error:.3f}; accuracy then {(probabilities.argmax(axis=1) == truth).mean():.3f}",
    )
    found.tables[TABLE]["calibration_error"] = error
