"""Judge ways to edit faces, on a folder of pictures or of prepared clips.

examples:
  python -m training.evaluate PORTRAITS --out report
  python -m training.evaluate SHARDS --split test --renderer warp learned --emotions neutral happy
  python -m training.evaluate FACES --protocol intra cross --fold 5 --weights runs/fold-{}
  python -m training.evaluate SHARDS --protocol cross --method none "rig copy" --sync runs/lip_sync
  python -m training.evaluate BEFORE --after EDITED
  python -m training.evaluate FILMS --protocol own-talk --memory OTHER_FILMS
  python -m training.evaluate voice SHARDS --split test --weights weights
  python -m training.evaluate heard SHARDS --portraits FACES
  python -m training.evaluate style SHARDS --rig runs/voice_rig
  python -m training.evaluate readout SHARDS --content runs/content
  python -m training.evaluate rigs SHARDS --judge FACES --visual runs/visual --run runs/rig

The first gives each face each emotion by the live graph's own nodes and tells, for every method,
what the tracker and the judges see afterwards. intra and cross are the papers' intra-ID and
cross-ID, each method a row, and need takes whose person and emotion are known: prepared clips with
labels, pictures EMOTION/PERSON_SESSION.jpg or EMOTION_PERSON_NUMBER.jpg, or a manifest.tsv with the
columns file, subject, emotion. --after judges what another program made of the same pictures or
clips. read tells how well the encoders of face and voice (of --weights, or those that ship) and
the emotion judge read labelled takes. own-neutral compares with each person's own photographs,
EMOTION/PERSON_SESSION.jpg, with their other session as memory and without; give --weights that
never saw them, and their --fold. own-talk edits films, and compares with the person's own calm
moments, or with their own talk in an emotion, as --memory shows it. voice judges faces that voices
move, heard follows their feelings into pictures, style tells what ten seconds of a speaker are good
for, space what an emotion space says of people held out: their own --help tells how. --out gets
results.json, report.html and a sheet of pictures per emotion. --card puts what `read` says of a
weight on its card, with this command and hashes of data and network.

Figures rest on the networks that are named below the tables: others give other figures.
Judges that are not installed are named and left out.
"""

from __future__ import annotations

import argparse
import importlib
import shlex
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import MienError, UsageError
from engine.files import make_folder
from face.types import EMOTIONS
from training import command
from training.evaluation import on_card, own_neutral, own_talk, report
from training.evaluation.by_reference import REFERENCE, by_reference
from training.evaluation.protocols import (
    PROTOCOLS,
    SETTINGS,
    Row,
    Stage,
    compared,
    worn,
)
from training.evaluation.readings import networks_of, read, readers
from training.evaluation.reference_methods import METHODS, Cast
from training.evaluation.renderers import KINDS, renderers
from training.evaluation.takes import Take, labelled, takes_in
from training.evaluation.tally import Eyes
from training.metrics import statistics
from training.metrics.networks import JUDGES, judges

if TYPE_CHECKING:
    from training.evaluation.sync import OfTakes

OWN = (own_neutral.PROTOCOL, own_talk.PROTOCOL)
OTHERS = ("voice", "readout", "heard", "space", "style", "rigs")
"""evaluations with options of their own, each a module of training.evaluation"""


def main(argv: list[str] | None = None) -> int:
    arguments = sys.argv[1:] if argv is None else argv
    if arguments and arguments[0] in OTHERS:
        other = importlib.import_module(f"training.evaluation.{arguments[0]}")
        return int(other.main(arguments[1:]))
    options = _parser().parse_args(arguments)
    return command.run("evaluate", lambda: evaluate(options, shlex.join(arguments)))


def _parser() -> argparse.ArgumentParser:
    parser = command.parser_of("training.evaluate", __doc__)
    parser.add_argument("input", metavar="PICTURES_OR_SHARDS", type=Path)
    parser.add_argument(
        "--after", type=Path, help="results of another program, with the same names"
    )
    parser.add_argument("--renderer", nargs="+", default=["warp"], help=" ".join(KINDS))
    parser.add_argument(
        "--method", nargs="+", metavar="METHOD",
        default=[name for name, way in METHODS.items() if way.ships],
        help=f"for intra and cross: {', '.join(METHODS)}; default: all but those of --weights RUN, "
        "one-stage and two-stage",
    )  # fmt: skip
    parser.add_argument(
        "--weights",
        nargs="+",
        default=[],
        metavar="[METHOD:][NAME=]FOLDER",
        help="folders of exported weights, or runs of a --method; each is a row, for all methods "
        "or for the named one",
    )
    parser.add_argument(
        "--emotions", nargs="+", metavar="EMOTION", help="default: all; for own-talk neutral"
    )
    parser.add_argument("--intensity", type=float, default=1.0)
    parser.add_argument(
        "--protocol", nargs="+", default=["wear"], help=" ".join((*PROTOCOLS, *OWN))
    )
    parser.add_argument(
        "--fold",
        default="",
        metavar="K/N",
        help="own-neutral: only every Nth person; N, also for intra and cross: everybody, with N "
        "folds of --weights in whose name {} stands for K",
    )
    parser.add_argument(
        "--memory", type=Path, help="own-talk: another film of the person, or a folder of films"
    )
    parser.add_argument(
        "--seconds", type=float, default=10.0, help="use this much of each film or clip"
    )
    parser.add_argument("--every", type=int, default=1, help="take each n-th picture or clip")
    parser.add_argument("--split", default="", help="of prepared clips: train, val or test")
    parser.add_argument("--sources", type=int, default=20, help="per emotion of intra and cross")
    parser.add_argument(
        "--minutes", type=float, help="stop after this time; takes come in a mixed order"
    )
    parser.add_argument("--judges", nargs="*", help=" ".join(JUDGES) + "; default: all here")
    parser.add_argument("--sync", type=Path, help="intra, cross: a run of lip_sync, for LSE-D")
    parser.add_argument("--out", type=Path, help="a folder for the report")
    parser.add_argument("--json", action="store_true", help="as JSON, not as tables")
    parser.add_argument(
        "--card", type=Path, metavar="WEIGHT", help="read: write its figures to this weight's card"
    )
    return parser


def evaluate(options: argparse.Namespace, arguments: str) -> None:
    every = ["neutral"] if options.protocol == [own_talk.PROTOCOL] else list(EMOTIONS)
    asked = options.emotions or every
    emotions = [name for given in asked for name in given.split(",") if name]
    kinds = [kind for given in options.renderer for kind in given.split(",") if kind]
    _known("emotion", emotions, EMOTIONS)
    _known("protocol", options.protocol, (*PROTOCOLS, *OWN))
    voices = options.protocol == ["read"]
    if options.out:
        make_folder(options.out)
    if options.card and (not voices or len(options.weights) > 1):
        raise UsageError("--card is for --protocol read alone, of one set of --weights")
    if set(OWN) & set(options.protocol):
        _against_own(options, emotions, arguments)
        return
    takes = takes_in(options.input, options.every, options.split, voices, options.seconds)
    if options.minutes is not None:
        takes.sort(key=lambda take: zlib.crc32(take.name.encode()))
    labelled_takes = labelled(takes, options.input) if set(options.protocol) - {"wear"} else []
    wears = "wear" in options.protocol and not options.after
    methods = renderers(kinds, options.weights) if wears else {}
    settings = [name for name in SETTINGS if name in options.protocol and not options.after]
    people = sorted({take.subject for take in labelled_takes})
    cast = Cast(options.method, options.weights, people, options.fold) if settings else None
    notes: list[str] = []
    made: dict[str, str] = {}
    stage = Stage(Eyes(judges(options.judges, notes.append)), options.minutes)
    columns = [REFERENCE, *cast.names] if cast else []
    sheets = report.Sheets([name for name in dict.fromkeys([*methods, *columns]) if name != "none"])
    rows: list[Row] = []
    if options.after:
        rows += compared(_meeting(takes, options), stage, options.after.name)
    elif wears:
        rows += worn(takes, methods, emotions, options.intensity, stage, sheets.show)
    if "read" in options.protocol and not options.after:
        by = readers(options.weights, stage.names)
        rows += read(labelled_takes, emotions, stage, by)
        made = networks_of(by)
    if cast is not None:
        in_sync = _in_sync(options.sync) if options.sync else None
        for setting in settings:
            rows += by_reference(
                labelled_takes, cast, emotions, setting, stage, options.sources, sheets.show,
                in_sync,
            )  # fmt: skip
    if options.card:
        _on_its_card(options, rows, arguments)
        notes.append(f"on its card: {options.card}")
    made = made or {name: way.label for name, way in methods.items()} | (
        cast.labels if cast else {}
    )
    rests_on = report.rests_on(rows, stage.names, made)
    facts = {
        "command": f"python -m training.evaluate {arguments}",
        "input": options.input,
        "takes": len(takes),
        "methods": made,
        "networks": report.networks(rows, stage.names),
        "rests_on": rests_on,
        "left_out": [*notes, *stage.left],
    }
    if options.json:
        print(report.as_json(rows, facts))
    else:
        for table in report.tables(rows):
            print(report.as_text(table))
        print(rests_on)
    for line in (*notes, *_short(stage.left)):
        print(line, file=sys.stderr)
    if options.out:
        report.write(options.out, rows, facts, sheets.write(options.out))


def _on_its_card(options: argparse.Namespace, rows: list[Row], arguments: str) -> None:
    figures = on_card.figures_of(rows, options.card, options.weights[0] if options.weights else "")
    made_by, name = f"python -m training.evaluate {arguments}", f"read_{options.input.name}"
    on_card.put(options.card, name, figures, made_by, statistics.SEED, options.input)


def _in_sync(run: Path) -> OfTakes:
    """Who says how well lips go with sound. Raises MienError."""
    from training.evaluation.sync import OfTakes  # needs torch

    return OfTakes(run)


def _against_own(options: argparse.Namespace, emotions: Sequence[str], arguments: str) -> None:
    """A protocol that stands for itself: its takes are one person's photographs, or films."""
    (asked,) = options.protocol if len(options.protocol) == 1 else ("",)
    if asked not in OWN or len(options.weights) > 1:
        raise UsageError(f"{' and '.join(OWN)} are asked alone, of one folder of --weights")
    notes: list[str] = []
    weights = options.weights[0] if options.weights else ""
    seeing = judges(options.judges or ("emotion", "faceres"), notes.append)
    names = {name: title for judge in seeing for name, title in judge.names.items()}
    by = "Judged by " + "; ".join(names.values()) + "."
    facts = {"command": f"python -m training.evaluate {arguments}", "networks": names}
    if asked == own_talk.PROTOCOL:
        if len(emotions) != 1:
            raise UsageError(f"{asked} is asked of one emotion: --emotions happy")
        films = own_talk.own_talk(
            options.input, seeing, weights, options.memory, emotions[0], options.seconds
        )
        print(own_talk.as_text(films), by, sep="\n")
        if options.out:
            own_talk.write(options.out, films, facts)
        return
    lines = own_neutral.own_neutral(options.input, seeing, weights, options.fold)
    print(own_neutral.as_text(lines), f"{by} Intervals: people drawn anew.", sep="\n")
    if options.out:
        own_neutral.write(options.out, lines, facts)


def _meeting(takes: Sequence[Take], options: argparse.Namespace) -> list[tuple[Take, Take]]:
    """Takes with those of the same name in --after."""
    edited = {take.name: take for take in takes_in(options.after)}
    by_stem = {Path(name).stem: take for name, take in edited.items()}
    pairs = []
    for take in takes:
        other = edited.get(take.name) or by_stem.get(Path(take.name).stem)
        if other is not None:
            pairs.append((take, other))
    if not pairs:
        raise MienError(f"{options.input} and {options.after} share no name")
    return pairs


def _known(what: str, given: Sequence[str], choices: Sequence[str]) -> None:
    if unknown := [name for name in given if name not in choices]:
        article = "an" if what[0] in "aeiou" else "a"
        raise UsageError(f"{article} {what} is one of {', '.join(choices)}, not '{unknown[0]}'")


def _short(lines: Sequence[str], most: int = 8) -> list[str]:
    """Not more lines than a terminal likes."""
    kept = [f"left out: {line}" for line in lines[:most]]
    return [*kept, f"... and {len(lines) - most} more"] if len(lines) > most else kept


if __name__ == "__main__":
    sys.exit(main())
