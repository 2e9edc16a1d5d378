"""Recordings to shards: 25 fps, 16 kHz, tracked, aligned, cropped, in pieces of ten seconds.

    python -m training.data.prepare LAYOUT IN OUT [--processes N] [--cluster auto] [--part 0/2]

LAYOUT is one of mead, ravdess, hdtf, crema-d, emodb, folder, noted (a folder whose manifest says
what is felt), pictures (labelled stills). OUT gets the shards, splits.tsv (who is in train, val and
test: fixed by --seed, or as given by --splits) and problems.txt (what was left out, and why). Run
it again to go on where it was stopped. --cluster spreads the work over the machines of a cluster,
which all see IN and OUT under the same paths; so do --part 0/2 here and --part 1/2 on a second
machine, by hand.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import multiprocessing
import re
import sys
from collections.abc import Generator, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from rich.progress import Progress

from cluster.bulk import each
from cluster.joining import HELP, joined
from engine.errors import MienError, UsageError
from engine.files import make_folder
from inference.assets import FACE_LANDMARKER, locate
from training import command
from training.data.clip import SPLITS, ClipInfo
from training.data.layouts import READERS, Entry, read_layout
from training.data.problems import noted, write_lines
from training.data.shard import Job, Made, make
from training.data.splits import read_splits, split_subjects, write_splits

PER_SHARD = 16


def main(argv: list[str] | None = None) -> int:
    parser = command.parser_of("training.data.prepare", __doc__)
    parser.add_argument("layout", choices=list(READERS))
    parser.add_argument("input", metavar="IN", type=Path)
    parser.add_argument("output", metavar="OUT", type=Path)
    parser.add_argument("--processes", type=int, default=multiprocessing.cpu_count())
    parser.add_argument("--cluster", metavar="auto|ADDRESS", help=HELP)
    parser.add_argument("--part", default="0/1", help="N/OF: this machine's share")
    parser.add_argument("--seed", type=int, default=0, help="of the splits")
    parser.add_argument("--splits", type=Path, help="a splits.tsv to follow")
    parser.add_argument("--val", type=float, default=0.1, help="share of people in val")
    parser.add_argument("--test", type=float, default=0.15, help="share of people in test")
    parser.add_argument("--no-phones", action="store_true", help="phones aren't listened for")
    options = parser.parse_args(argv)
    return command.run("prepare", lambda: prepare(options), "stopped; run it again to go on")


def prepare(options: argparse.Namespace) -> None:
    if options.cluster:  # other machines know no folder that this process is in
        options.input, options.output = options.input.resolve(), options.output.resolve()
    found = read_layout(options.layout, options.input)
    for line in found.lines():
        print(f"prepare: {line}", file=sys.stderr)
    make_folder(options.output)
    splits = _splits(options, {entry.subject for entry in found.entries})
    locate(FACE_LANDMARKER)
    jobs = [
        Job(options.output / name, items, not options.no_phones)
        for name, items in plan(found.entries, splits, options.layout, options.input)
    ]
    share, of = _part(options.part)
    mine = [job for index, job in enumerate(jobs) if index % of == share]
    left = [job for job in mine if not job.shard.exists()]
    if len(left) < len(mine):
        print(f"{len(mine) - len(left)} of {len(mine)} shards are there already")
    clips, failed = _run(left, options)
    problems = sorted(noted(job.shard for job in jobs))
    write_lines(options.output / "problems.txt", [*found.lines(), *problems, *failed])
    print(f"{clips} clips in {len(left)} shards; {len(problems)} recordings left out")
    if failed:
        raise MienError(
            f"{len(failed)} of {len(left)} shards could not be made; "
            f"{options.output / 'problems.txt'} says why; the same command tries them again"
        )
    if mine and not any(job.shard.exists() for job in mine):
        why = options.output / "problems.txt"
        raise MienError(f"not one clip could be made of these recordings; {why} says why")


def plan(
    entries: list[Entry], splits: dict[str, str], source: str, root: Path
) -> Iterator[tuple[str, tuple[tuple[Entry, ClipInfo], ...]]]:
    """Shards by name, each of one split; a shard's name holds a hash of what it is made of."""
    for split in SPLITS:
        rows = [
            (entry, _info(entry, split, source, root))
            for entry in entries
            if splits[entry.subject] == split
        ]
        for start in range(0, len(rows), PER_SHARD):
            items = tuple(rows[start : start + PER_SHARD])
            digest = hashlib.sha256(repr([info for _, info in items]).encode()).hexdigest()[:8]
            yield f"{source}-{split}-{start // PER_SHARD:05d}-{digest}.tar", items


def _run(jobs: list[Job], options: argparse.Namespace) -> tuple[int, list[str]]:
    """All jobs; how many clips there are, and the shards that failed, with why. Without a cluster
    the first that can't be written ends the run."""
    clips, failed = 0, []
    work = _on_cluster(jobs, options) if options.cluster else _in_processes(jobs, options.processes)
    with Progress() as progress, contextlib.closing(work) as ended:
        bar = progress.add_task("preparing", total=sum(len(job.items) for job in jobs))
        for job, made, why in ended:
            count, problems = made or (0, [])
            clips += count
            for line in problems:
                progress.console.print(f"left out: {line}", markup=False, soft_wrap=True)
            if why:
                failed.append(f"{job.shard.name}: {why}")
            progress.advance(bar, len(job.items))
    return clips, failed


def _in_processes(jobs: list[Job], processes: int) -> Generator[tuple[Job, Made, str], None, None]:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max(1, min(processes, len(jobs) or 1)), mp_context=context) as pool:
        waiting = {pool.submit(make, job): job for job in jobs}
        try:
            for done in as_completed(waiting):
                yield waiting[done], done.result(), ""
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _on_cluster(
    jobs: list[Job], options: argparse.Namespace
) -> Generator[tuple[Job, Made | None, str], None, None]:
    with joined(options.cluster) as ray, contextlib.closing(each(ray, make, jobs)) as ended:
        yield from (end for end in ended if end is not None)


def _splits(options: argparse.Namespace, subjects: set[str]) -> dict[str, str]:
    kept = options.output / "splits.tsv"
    given = options.splits or (kept if kept.is_file() else None)
    if given is None:
        splits = split_subjects(subjects, options.seed, options.val, options.test)
    else:
        splits = read_splits(given)
        if strangers := sorted(subjects - splits.keys()):
            raise MienError(
                f"{given} has no split for {', '.join(strangers[:3])} "
                f"({len(strangers)} in all); add them, or begin another OUT"
            )
    write_splits(kept, splits)
    return splits


def _info(entry: Entry, split: str, source: str, root: Path) -> ClipInfo:
    name = entry.file.relative_to(root).with_suffix("").as_posix()
    digest = hashlib.sha256(entry.file.relative_to(root).as_posix().encode()).hexdigest()[:6]
    return ClipInfo(
        key=f"{re.sub(r'[^A-Za-z0-9_-]+', '-', name)[-100:]}-{digest}",
        subject=f"{source}:{entry.subject}",
        emotion=entry.emotion,
        level=entry.level,
        sentence=entry.sentence,
        take=entry.take,
        view=entry.view,
        source=source,
        split=split,
        licence=entry.licence,
        nc=entry.nc,
        synthetic=entry.synthetic,
        word=entry.word,
        felt=entry.felt,
    )


def _part(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)/([1-9]\d*)", text)
    if not match or int(match[1]) >= int(match[2]):
        raise UsageError(f"--part is N/OF with N below OF, such as 0/2, not {text}")
    return int(match[1]), int(match[2])


if __name__ == "__main__":
    sys.exit(main())
