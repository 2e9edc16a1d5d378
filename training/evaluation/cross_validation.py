"""Readers of faces and voices asked about people left out of training (cross-validation)."""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence, Set
from pathlib import Path

import numpy as np
import torch

from engine.errors import MienError
from engine.files import atomic_write
from face.types import EMOTIONS
from training import checkpoint, recipes
from training.data.clip import Clip, open_clips
from training.evaluation import talkers
from training.evaluation.on_card import Findings
from training.evaluation.reader_figures import (
    FACES,
    VOICES,
    Answers,
    Floats,
    calibrated,
    confidence,
    lift_of,
    logits_of,
    of_faces,
    of_talkers,
    of_voices,
    summary,
    truth_of,
)
from training.metrics.calibration import calibrate
from training.models.audio_backbone import STEP_SAMPLES
from training.models.speech import SpeechEncoder
from training.models.visual import VisualEncoder
from training.people import alike, by_fold, fingerprint, folds, together
from training.provenance import sha256_of
from training.restore import restore
from training.running import train
from training.trainers.samples import Augmentation
from training.trainers.speech import LABELS, SpeechTrainer, among_others, label_of, utterance
from training.trainers.visual import VisualTrainer


def cross_validate(options: argparse.Namespace, command: str) -> Findings:
    """Train without each fold, ask about it. Raises MienError."""
    if options.out is None:
        raise MienError("give --out, a folder for the folds")
    names = FACES if options.name == "visual" else VOICES
    asked, films = _chosen(options, names)
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
        print(summary(f"fold {number}", rows[-len(mine) :], names, person_of)[0], flush=True)
    _write(options.out / "answers.tsv", rows, names)
    doubles = len(person_of) - len(set(person_of.values()))
    found = Findings()
    found.lines += [
        f"{options.name}: {len(rows)} of {len(set(person_of.values()))} people, "
        f"{len(divided)} folds ({doubles} names tied to others by the same picture)",
        *summary("all", rows, names, person_of),
    ]
    probabilities = calibrated(rows + known, names, person_of, options.evenly)
    if options.name == "speech":
        found.lines += ["", *summary("speakers heard before", known, names, person_of)]
        of_voices("strangers", rows, probabilities[: len(rows)], person_of, found)
        of_voices("speakers heard before", known, probabilities[len(rows) :], person_of, found)
        found.lines += _speed(options.out / "fold-0")
    else:
        of_faces(rows, probabilities, names, person_of, found)
        if watched:
            of_talkers(
                watched,
                calibrate(logits_of(rows, names), truth_of(rows, names), options.evenly),
                names,
                found,
            )
    confidence(rows + known, probabilities, names, found)
    if options.calibrate:
        _calibrate_run(options.calibrate, options.name, rows + known, names, options.evenly)
        found.lines.append(f"{options.calibrate} is calibrated")
    return found


def _chosen(options: argparse.Namespace, names: Sequence[str]) -> tuple[list[Clip], list[Clip]]:
    """The labelled clips to ask about, and for faces the films of calm talk. Raises MienError."""
    clips, visual = open_clips(options.data), options.name == "visual"
    asked, films = [], []
    for index, (info, frames) in enumerate(zip(clips.infos, clips.lengths, strict=True)):
        if options.of and info.source not in options.of:
            continue
        if info.label in names and (frames == 1) == visual:
            asked.append(clips[index])
        if visual and talkers.talks_calmly(info, frames):
            films.append(clips[index])
    if not asked:
        of = " or ".join(options.of) or "any source"
        raise MienError(f"{options.data} has nothing of {of} to ask about")
    return asked, films


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


def _calibrate_run(
    run: Path,
    name: str,
    rows: Answers,
    names: Sequence[str],
    evenly: float,
) -> None:
    """Temperature and biases become part of a run's last layer. Raises MienError."""
    bias, temperature = calibrate(logits_of(rows, names), truth_of(rows, names), evenly)
    every = EMOTIONS if name == "visual" else LABELS
    lift = torch.from_numpy(lift_of(bias, names, every))
    state = checkpoint.load(run)
    layer = "heads.emotion" if name == "visual" else "feel"
    if name == "visual":  # the names of others are added to what the last layer says
        for part in ("weight", "bias"):
            state["ema"][name][f"first.{part}"] /= temperature
    weight, offset = (state["ema"][name][f"{layer}.{part}"] for part in ("weight", "bias"))
    weight[: len(every)] /= temperature
    offset[: len(every)] = offset[: len(every)] / temperature + lift
    checkpoint.save(run, state)


def _write(path: Path, rows: Answers, names: Sequence[str]) -> None:
    logits = logits_of(rows, names)
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
