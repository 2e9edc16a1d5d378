"""Readers of faces and voices asked about people left out of training (cross-validation)."""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from itertools import compress
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from engine.errors import MienError
from engine.files import atomic_write
from face.types import EMOTIONS
from training import checkpoint, recipes
from training.data.clip import Clip, ClipInfo, open_clips
from training.evaluation import talkers
from training.evaluation.on_card import Findings
from training.metrics.calibration import applied, calibrate, expected_error, held_out
from training.metrics.classes import Verdict, judge
from training.models.audio_backbone import STEP_SAMPLES
from training.models.speech import SHADES, SpeechEncoder
from training.models.visual import VisualEncoder
from training.people import alike, by_fold, fingerprint, folds, together
from training.provenance import sha256_of
from training.restore import restore
from training.running import train
from training.trainers.samples import Augmentation
from training.trainers.speech import LABELS, SpeechTrainer, among_others, label_of, utterance
from training.trainers.visual import VisualTrainer

Floats = NDArray[np.float32]
FACES: Final = tuple(name for name in EMOTIONS if name != "contempt")
"""the seven of most face sets"""
VOICES: Final = tuple(name for name in LABELS if name != "contempt")
"""those that acted voices are recorded as"""
TABLE: Final = "people_not_learned_from"
"""of a card: figures of people left out"""


def cross_validate(options: argparse.Namespace, command: str) -> Findings:
    """Train without each fold, ask about it. Raises MienError."""
    if options.out is None:
        raise MienError("give --out, a folder for the folds")
    clips, names = open_clips(options.data), FACES if options.name == "visual" else VOICES
    chosen = [
        index
        for index, (info, frames) in enumerate(zip(clips.infos, clips.lengths, strict=True))
        if info.label in names
        and (not options.of or info.source in options.of)
        and (frames == 1) == (options.name == "visual")
    ]
    if not chosen:
        of = " or ".join(options.of) or "any source"
        raise MienError(f"{options.data} has nothing of {of} to ask about")
    asked = [clips[index] for index in chosen]
    films = [
        clips[index]
        for index, (info, frames) in enumerate(zip(clips.infos, clips.lengths, strict=True))
        if options.name == "visual"
        and talkers.talks_calmly(info, frames)
        and (not options.of or info.source in options.of)
    ]
    person_of = _people(asked)
    if (people := len(set(person_of.values()))) < options.folds:
        raise MienError(f"{people} people are too few for {options.folds} folds; give --folds")
    labels = defaultdict(list)
    for clip in asked:
        labels[person_of[clip.info.subject]].append(label_of(clip.info))
    divided = by_fold(folds(labels, options.folds, options.seed), person_of)
    talks_in = talkers.divided(films, options.folds, options.seed)
    rows: list[tuple[Clip, Floats]] = []
    known: list[tuple[Clip, Floats]] = []
    watched: list[tuple[Clip, Floats]] = []
    for number, still in enumerate(divided):
        left_out = still | {person for person, fold in talks_in.items() if fold == number}
        if options.only and number not in options.only:
            continue
        run = options.out / f"fold-{number}"
        _train(options, run, left_out, command)
        mine = [clip for clip in asked if clip.info.subject in still]
        watched += _watch(run, [film for film in films if talks_in[film.info.subject] == number])
        rows += zip(mine, _ask(options.name, run, mine), strict=True)
        if options.name == "speech":
            known += _ask_known(run, mine)
        print(_summary(f"fold {number}", rows[-len(mine) :], names, person_of)[0], flush=True)
    _write(options.out / "answers.tsv", rows, names)
    doubles = len(person_of) - len(set(person_of.values()))
    found = Findings()
    found.lines += [
        f"{options.name}: {len(rows)} of {len(set(person_of.values()))} people, "
        f"{len(divided)} folds ({doubles} names tied to others by the same picture)",
        *_summary("all", rows, names, person_of),
    ]
    if options.name == "speech":
        found.lines += ["", *_summary("speakers heard before", known, names, person_of)]
        _by_source({"strangers": rows, "speakers heard before": known}, person_of, found)
        found.lines += _speed(options.out / "fold-0")
    else:
        _of_faces(rows, watched, names, person_of, options.evenly, found)
    _calibration(rows + known, names, person_of, options.evenly, found)
    if options.calibrate:
        _calibrate_run(options.calibrate, options.name, rows + known, names, options.evenly)
        found.lines.append(f"{options.calibrate} is calibrated")
    return found


def _people(asked: Sequence[Clip]) -> dict[str, str]:
    """Whose subjects are one person's, since they share a picture."""
    subjects = [clip.info.subject for clip in asked]
    if not len(asked[0]):
        return {name: name for name in subjects}
    prints = np.stack([fingerprint(clip.frame(0)) for clip in asked])
    return together(subjects, [(subjects[a], subjects[b]) for a, b in alike(prints)])


def _train(options: argparse.Namespace, run: Path, left_out: Set[str], command: str) -> None:
    torch.manual_seed(options.seed)
    recipe = recipes.recipe(options.name).config(options.config).scheduled(steps=options.steps)
    if _is_trained(run, recipe.schedule.steps, options.data):
        return
    make = VisualTrainer if options.name == "visual" else SpeechTrainer
    trainer = make(recipe, options.data, left_out)
    train(trainer, run, options.seed, options.device, command, lambda line: print(line, flush=True))


def _is_trained(run: Path, steps: int, data: Path) -> bool:
    """Whether it is at its end. Raises MienError where it learned from other data."""
    if not (run / checkpoint.LAST).is_file():
        return False
    state = checkpoint.load(run)
    learned_from = {shard for stage in state["stages"] for shard in stage["data"]}
    if not learned_from <= {sha256_of(path) for path in data.glob("*.tar")}:
        raise MienError(f"{run} learned from other data than {data}; give another --out")
    return bool(state["step"] >= steps)


def _ask(name: str, run: Path, clips: Sequence[Clip]) -> list[Floats]:
    """Log-probabilities of each clip, of EMOTIONS or LABELS."""
    if name == "speech":
        speech = restore(run, "speech", SpeechEncoder)
        return [utterance(speech, clip.samples) for clip in clips]
    visual = restore(run, "visual", VisualEncoder)
    return [look_at(visual, clip) for clip in clips]


def _ask_known(run: Path, clips: Sequence[Clip]) -> Iterator[tuple[Clip, Floats]]:
    """Log-probabilities of each recording once the speaker's others were heard."""
    encoder = restore(run, "speech", SpeechEncoder)
    for subject in sorted({clip.info.subject for clip in clips}):
        own = [clip for clip in clips if clip.info.subject == subject]
        yield from zip(own, among_others(encoder, [clip.samples for clip in own]), strict=True)


def _watch(run: Path, films: Sequence[Clip]) -> Iterator[tuple[Clip, Floats]]:
    if films:
        visual = restore(run, "visual", VisualEncoder)
        yield from ((film, talkers.watched(visual, film)) for film in films)


def look_at(visual: VisualEncoder, clip: Clip) -> Floats:
    """Log-probabilities [8] of EMOTIONS for one still, looked at once."""
    side = visual.size.crop_px
    crop = torch.from_numpy(Augmentation.plain(side).picture(clip.frame(0), side))[None]
    with torch.no_grad():
        out = visual(crop, torch.from_numpy(clip.blendshapes[:1]), visual.begin(1))
    return np.asarray(torch.log_softmax(out.emotion[0], dim=0).numpy())


def _logits(rows: Sequence[tuple[Clip, Floats]], names: Sequence[str]) -> Floats:
    every = EMOTIONS if len(rows[0][1]) == len(EMOTIONS) else LABELS
    return np.stack([answer[[every.index(name) for name in names]] for _, answer in rows])


def _truth(rows: Sequence[tuple[Clip, Floats]], names: Sequence[str]) -> NDArray[np.int64]:
    return np.array([names.index(label_of(clip.info)) for clip, _ in rows])


def _summary(
    title: str,
    rows: Sequence[tuple[Clip, Floats]],
    names: Sequence[str],
    person_of: dict[str, str],
) -> list[str]:
    lines = _verdict(rows, names, person_of).lines(names)
    return [f"{title}: {lines[0]}", *lines[1:]]


def _verdict(
    rows: Sequence[tuple[Clip, Floats]], names: Sequence[str], person_of: dict[str, str]
) -> Verdict:
    truth, predicted = _truth(rows, names), _logits(rows, names).argmax(axis=1)
    return judge(truth, predicted, [person_of[clip.info.subject] for clip, _ in rows], len(names))


def _by_source(
    asked: Mapping[str, Sequence[tuple[Clip, Floats]]],
    person_of: dict[str, str],
    found: Findings,
) -> None:
    """Of each source, by how its speakers were met: how well its own classes are told apart, then
    with all that counts as neutral as one, and what becomes of that."""
    figures = found.tables[TABLE]
    for source in sorted({clip.info.source for rows in asked.values() for clip, _ in rows}):
        for met, every in asked.items():
            rows = [row for row in every if row[0].info.source == source]
            held = {label_of(clip.info) for clip, _ in rows}
            own = [name for name in VOICES if name in held]
            found.lines += (
                "",
                *_summary(f"{source}, {met}, {len(own)} classes", rows, own, person_of),
            )
            verdict = _verdict(rows, own, person_of)
            name = f"{source}_{'strangers' if met == 'strangers' else 'heard'}"
            figures |= {
                f"{source}_samples": len(rows),
                f"{source}_people": len({person_of[clip.info.subject] for clip, _ in rows}),
                f"{name}_classes": len(own),
                **_accuracy(name, verdict),
            }
            folded = [(clip, _neutral_whole(answer)) for clip, answer in rows]
            truth = np.array([EMOTIONS.index(_folded(clip.info)) for clip, _ in folded])
            predicted = np.stack([answer for _, answer in folded]).argmax(axis=1)
            people = [person_of[clip.info.subject] for clip, _ in folded]
            neutral = predicted[truth == EMOTIONS.index("neutral")]
            taken = np.isin(neutral, [EMOTIONS.index(name) for name in ("sad", "angry")])
            verdict = judge(truth, predicted, people, len(EMOTIONS))
            line = verdict.lines(EMOTIONS)[0]
            found.lines.append(f"{source}, {met}, shades as neutral: {line}")
            figures |= _accuracy(f"{name}_shades_as_neutral", verdict)
            if len(taken):
                share = float(taken.mean())
                found.lines.append(f"of what is neutral {share:.3f} is taken for sad or angry")
                figures[f"{name}_neutral_taken_for_sad_or_angry"] = share


def _accuracy(name: str, verdict: Verdict) -> dict[str, float]:
    return {
        f"{name}_accuracy": verdict.accuracy,
        f"{name}_accuracy_low": verdict.low,
        f"{name}_accuracy_high": verdict.high,
    }


def _of_faces(
    rows: Sequence[tuple[Clip, Floats]],
    watched: Sequence[tuple[Clip, Floats]],
    names: Sequence[str],
    person_of: dict[str, str],
    evenly: float,
    found: Findings,
) -> None:
    """Of each source, and of films of people who talk calmly: as it is, and once calibrated."""
    logits, truth = _logits(rows, names), _truth(rows, names)
    people = [person_of[clip.info.subject] for clip, _ in rows]
    calibrated = held_out(logits, truth, people, evenly)
    sources = np.array([clip.info.source for clip, _ in rows])
    for source in np.unique(sources):
        own = sources == source
        those = list(compress(rows, own))
        error = expected_error(calibrated[own], truth[own])
        right = float((calibrated[own].argmax(axis=1) == truth[own]).mean())
        found.lines += (
            "",
            *_summary(source, those, names, person_of),
            f"calibrated on other people: accuracy {right:.3f}, calibration error {error:.3f}",
        )
        found.tables[TABLE] |= {
            f"{source}_samples": len(those),
            f"{source}_people": len({person_of[clip.info.subject] for clip, _ in those}),
            **_accuracy(f"{source}_uncalibrated", _verdict(those, names, person_of)),
            f"{source}_accuracy": right,
            f"{source}_calibration_error": error,
        }
    if watched:
        bias, temperature = calibrate(logits, truth, evenly)
        lift = _lift(bias, names, EMOTIONS)
        films = [(film, answer / temperature + lift) for film, answer in watched]
        before, after = talkers.verdict(watched), talkers.verdict(films)
        found.lines += (
            "",
            f"who talks calmly: {before.line()}",
            f"once stills have calibrated it: {after.line()}",
        )
        found.tables["calm_talkers_not_learned_from"] = after.figures()


def _lift(bias: Floats, names: Sequence[str], every: Sequence[str]) -> Floats:
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


def _calibration(
    rows: Sequence[tuple[Clip, Floats]],
    names: Sequence[str],
    person_of: dict[str, str],
    evenly: float,
    found: Findings,
) -> None:
    """How far confidence lies from what is right: as it is, and calibrated on other people."""
    truth, logits = _truth(rows, names), _logits(rows, names)
    people = [person_of[clip.info.subject] for clip, _ in rows]
    plain = applied(logits, np.zeros(len(names)), 1.0)
    calibrated = held_out(logits, truth, people, evenly)
    error = expected_error(calibrated, truth)
    found.lines += (
        "",
        f"calibration error {expected_error(plain, truth):.3f}, calibrated on other people "
        f"{error:.3f}; accuracy then {(calibrated.argmax(axis=1) == truth).mean():.3f}",
    )
    found.tables[TABLE]["calibration_error"] = error


def _calibrate_run(
    run: Path,
    name: str,
    rows: Sequence[tuple[Clip, Floats]],
    names: Sequence[str],
    evenly: float,
) -> None:
    """Temperature and biases become part of a run's last layer. Raises MienError."""
    bias, temperature = calibrate(_logits(rows, names), _truth(rows, names), evenly)
    every = EMOTIONS if name == "visual" else LABELS
    lift = torch.from_numpy(_lift(bias, names, every))
    state = checkpoint.load(run)
    layer = "heads.emotion" if name == "visual" else "feel"
    if name == "visual":  # the names of others are added to what the last layer says
        for part in ("weight", "bias"):
            state["ema"][name][f"first.{part}"] /= temperature
    weight, offset = (state["ema"][name][f"{layer}.{part}"] for part in ("weight", "bias"))
    weight[: len(every)] /= temperature
    offset[: len(every)] = offset[: len(every)] / temperature + lift
    checkpoint.save(run, state)


def _write(path: Path, rows: Sequence[tuple[Clip, Floats]], names: Sequence[str]) -> None:
    logits = _logits(rows, names)
    lines = ["\t".join(("clip", "subject", "label", *names))]
    for (clip, _), answer in zip(rows, logits, strict=True):
        cells = [clip.info.key, clip.info.subject, clip.info.label]
        lines.append("\t".join([*cells, *(f"{value:.4f}" for value in answer)]))
    with atomic_write(path) as part:
        part.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _speed(run: Path) -> list[str]:
    """The real-time factor of streaming, 40 ms a call, in torch on one thread."""
    encoder = restore(run, "speech", SpeechEncoder)
    sound, state, took_s = torch.zeros(1, STEP_SAMPLES), encoder.begin(1), []
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.no_grad():
        for _ in range(200):
            began_s = time.perf_counter()
            state = encoder(sound, state).state
            took_s.append(time.perf_counter() - began_s)
    torch.set_num_threads(threads)
    middle_ms = 1000 * float(np.median(took_s))
    return [
        "",
        f"streaming in torch: {middle_ms:.2f} ms per 40 ms, real-time factor {middle_ms / 40:.4f}",
    ]
