"""Ask people which of several methods edits a face best: a page, its votes, the papers' table.

A sheet (TOML) names the clips and the files of each method. Each rater sees the results of all
methods for a clip side by side, without names and in random order, together with source and
reference, and says which looks most real, which expression is most like the reference, and whose
mouth is most like the source. Votes are stored at once in an SQLite file beside the sheet; raters
who come back continue where they stopped. Ctrl-C ends the page and prints the table.

    source = "source/{clip}.mp4"
    reference = "reference/{clip}.jpg"

    [methods]
    NED = "ned/{clip}.mp4"
    ours = "ours/{clip}.mp4"

    [clips]
    happy = ["M003_011", "W009_004"]
    sad = ["M003_027"]

examples:
  run_engine.py study SHEET.toml
  run_engine.py study SHEET.toml --address 0.0.0.0     for phones and others in this network
  run_engine.py study SHEET.toml --table
  run_engine.py study SHEET.toml --csv votes.csv
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import sys
from pathlib import Path

from commands.numbers import PORT
from commands.study.figures import as_csv, tables
from commands.study.server import StudyServer
from commands.study.sheet import Sheet, read_sheet
from commands.study.votes import Votes
from engine import signals
from engine.files import atomic_write
from engine.loops import run_loop


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sheet", metavar="SHEET.toml", type=Path)
    parser.add_argument(
        "--votes", type=Path, metavar="FILE", help="store votes here (default SHEET.sqlite)"
    )
    parser.add_argument("--table", action="store_true", help="print the table of the votes so far")
    parser.add_argument(
        "--csv", type=Path, metavar="FILE", help="write the votes so far, one a line"
    )
    parser.add_argument(
        "--port", type=PORT, default=8090, help="port of the page (default 8090; 0: a free one)"
    )
    parser.add_argument(
        "--address", default="127.0.0.1", help="address to bind (default 127.0.0.1)"
    )
    parser.add_argument(
        "--token", default=os.environ.get("MIEN_TOKEN", ""),
        help="the token for the page when others can open it, 12 characters or more",
    )  # fmt: skip


def run(options: argparse.Namespace) -> int:
    sheet = read_sheet(options.sheet)
    only_told = options.table or options.csv is not None
    file = options.votes or options.sheet.with_suffix(".sqlite")
    with contextlib.closing(Votes(file, sheet, make=not only_told)) as votes:
        if not only_told:
            run_loop(_serve(options, sheet, votes))
        if options.csv is not None:
            with atomic_write(options.csv) as part:
                part.write_text(as_csv(votes.all(), sheet), encoding="utf-8")
            print(f"written: {options.csv}", file=sys.stderr)
        if options.table or not only_told:
            print(tables(votes.all(), sheet))
    return 0


async def _serve(options: argparse.Namespace, sheet: Sheet, votes: Votes) -> None:
    """The page, until somebody ends it. Raises MienError."""
    stop = asyncio.Event()
    server = StudyServer(sheet, votes, lambda line: print(line, file=sys.stderr, flush=True))
    with signals.told(stop.set):
        url = await server.serve(options.address, options.port, options.token)
        try:
            print(f"the study is at {url}   (Ctrl-C ends it)", file=sys.stderr, flush=True)
            await stop.wait()
        finally:
            await server.close()
