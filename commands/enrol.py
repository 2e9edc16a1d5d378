"""Show Mien a person's faces once, so that it knows them from the first picture on.

Give photographs or films of one person: calm, smiling, surprised, angry. A file whose name or
folder begins with an emotion counts as showing it (happy_1.jpg, calm/1.jpg); in the
others Mien judges for itself. Best is a film of a minute in which they talk and pull faces.
What is learned stays on this machine, in one file; --forget deletes it.

examples:
  run_engine.py enrol anna --from photos/ talk.mp4
  run_engine.py enrol anna --from camera --seconds 60
  run_engine.py live --person anna
  run_engine.py file IN OUT --person anna --emotion happy
  run_engine.py enrol --list
  run_engine.py enrol anna --rename "anna b"
  run_engine.py enrol anna --forget

Sealed with a passphrase: MIEN_PASSPHRASE=... run_engine.py enrol anna --from photos/ --seal
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from commands.numbers import SECONDS
from commands.weights import add_weights, use_weights
from engine.errors import MienError, UsageError
from engine.program import program

if TYPE_CHECKING:
    from engine.types import VideoFrame
    from face.types import FaceTrack

CAMERA: Final = "camera"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", help="a name for the person")
    parser.add_argument(
        "--from", dest="sources", nargs="+", metavar="WHAT", default=[],
        help="pictures, films, folders of them, or 'camera'",
    )  # fmt: skip
    parser.add_argument("--camera", default="0", help="which camera: a number or a device")
    parser.add_argument("--seconds", type=SECONDS, default=60.0, help="how long to use the camera")
    add_weights(parser)
    parser.add_argument("--consent", action="store_true", help="the person agrees to be enrolled")
    parser.add_argument("--seal", action="store_true", help="encrypt it with $MIEN_PASSPHRASE")
    parser.add_argument("--list", action="store_true", help="list enrolled people")
    parser.add_argument("--rename", metavar="NEW", help="give the person another name")
    parser.add_argument("--forget", action="store_true", help="delete the person's faces")
    parser.add_argument("--json", action="store_true", help="what was learned, as JSON")


def run(options: argparse.Namespace) -> int:
    from face.render import person_file

    if options.list:
        return _list(options.json)
    if not options.name:
        raise UsageError(f"who is it? {program()} enrol NAME --from FOLDER")
    if options.forget:
        print(f"forgotten: {person_file.forget(options.name)}")
        return 0
    if options.rename:
        print(f"{options.name} is {person_file.rename(options.name, options.rename).stem} now")
        return 0
    if not options.sources:
        raise UsageError("from what? --from a folder of pictures, a film, or camera")
    goal = person_file.place_of(options.name)
    passphrase = os.environ.get(person_file.PASSPHRASE, "") if options.seal else ""
    if options.seal and not passphrase:
        raise UsageError(f"--seal needs a passphrase in {person_file.PASSPHRASE}")
    use_weights(options)
    _ask_consent(options)
    learned = _learn(options, person_file.Person, goal, passphrase)
    if options.json:
        print(json.dumps({"name": options.name, "file": str(goal), "faces": learned}))
    else:
        told = ", ".join(f"{count} {name}" for name, count in learned.items())
        print(f"{options.name} is enrolled: {told} ({goal})")
        print(f"use it: {program()} live --person '{options.name}'")
    return 0


def _list(as_json: bool) -> int:
    from face.render import person_file

    found = person_file.names()
    if as_json:
        print(json.dumps(found))
    else:
        print("\n".join(found) if found else f"nobody is enrolled here; {program()} enrol --help")
    return 0


def _ask_consent(options: argparse.Namespace) -> None:
    if options.consent:
        return
    if not sys.stdin.isatty():
        raise UsageError("a face is remembered only with consent: ask the person, add --consent")
    try:
        answer = input(f"Does {options.name} agree to have their face remembered here? [y/N] ")
    except EOFError:
        answer = ""
    if answer.strip().lower() not in ("y", "yes"):
        raise MienError("nothing was kept")


def _learn(
    options: argparse.Namespace, person: type, goal: Path, passphrase: str
) -> dict[str, int]:
    from rich.progress import track

    from commands.enrolment import Enrolment, followed, sources
    from engine import terminal
    from face.render import person_file

    enrolment = Enrolment(lambda line: print(line, file=sys.stderr))
    given = [Path(source) for source in options.sources if source != CAMERA]
    pictures, films = sources(given) if given else ([], [])
    console = terminal.console(stderr=True)
    for file in track(pictures, "pictures", console=console, disable=not console.is_terminal):
        enrolment.picture(file)
    for file in films:
        if console.is_terminal:
            console.print(f"watching {file.name}")
        enrolment.film(followed(file))
    if CAMERA in options.sources:
        enrolment.film(_camera(options))
    enrolment.check()
    person_file.save(
        person(options.name, enrolment.repertoire.faces, enrolment.repertoire.still),
        goal,
        passphrase,
    )
    return enrolment.learned()


GUIDE: Final = (
    "look calm", "say a sentence calmly", "smile", "laugh", "be surprised", "look sad",
    "look angry", "be disgusted", "turn your head slowly left and right", "say a sentence happily",
)  # fmt: skip


def _camera(options: argparse.Namespace) -> Iterator[tuple[VideoFrame, FaceTrack]]:
    """What the camera sees, with something to do every few seconds."""
    import time

    from engine.node import Context
    from engine.parameters import build
    from engine.types import VideoFrame
    from nodes.face.face_tracker import FaceTracker
    from nodes.sources.camera import open_camera, why_not

    capture = open_camera(options.camera, 640, 480, 30.0)
    if capture is None:
        raise MienError(why_not(options.camera))
    tracker = FaceTracker(build(FaceTracker.Config, {}), Context())
    tracker.setup()
    began_s, told, first = time.monotonic(), -1, True
    try:
        while (since_s := time.monotonic() - began_s) < options.seconds:
            step = min(int(since_s / options.seconds * len(GUIDE)), len(GUIDE) - 1)
            if step != told:
                told = step
                print(f"[{step + 1}/{len(GUIDE)}] {GUIDE[step]}", file=sys.stderr)
            good, pixels = capture.read()
            if not good:
                raise MienError(f"camera {options.camera} stopped; plug it in again")
            frame = VideoFrame(capture_ns=time.monotonic_ns(), pixels=pixels, cut=first)
            first = False
            yield frame, tracker.process(frame)
    finally:
        capture.release()
        tracker.close()
