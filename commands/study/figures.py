"""Votes as the papers' tables: each method's share with its interval, and how far raters agree."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import astuple, fields
from typing import Final

import numpy as np

from commands.study.sheet import QUESTIONS, Sheet
from commands.study.votes import Vote
from training.metrics.statistics import fleiss_kappa, ratio_interval

NOTE: Final = "(a to b): 95 %, raters drawn anew."


def tables(votes: Sequence[Vote], sheet: Sheet) -> str:
    """In Markdown: all votes (as SSERD's table 2) and, where there are several emotions, those of
    each (as its supplement's table 3)."""
    parts = [_markdown(_overall(votes, sheet))]
    if len(sheet.emotions) > 1:
        parts.append(_markdown(_by_emotion(votes, sheet)))
    raters = {vote.rater for vote in votes}
    seen = {vote.clip for vote in votes}
    chance = 100 / len(sheet.methods)
    parts.append(
        f"{len(votes)} votes of {len(raters)} raters on {len(seen)} of {len(sheet.clips)} clips; "
        f"by chance a method gets {chance:.0f} %. {NOTE}"
    )
    return "\n\n".join(parts)


def as_csv(votes: Sequence[Vote], sheet: Sheet) -> str:
    """A line for each vote."""
    emotion_of = {clip.name: clip.emotion for clip in sheet.clips}
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*(field.name for field in fields(Vote)), "emotion"])
    writer.writerows([*astuple(vote), emotion_of[vote.clip]] for vote in votes)
    return out.getvalue()


def share(votes: Sequence[Vote], method: str) -> tuple[float, float, float] | None:
    """How much of the votes a method has, 0 to 1, and its interval (nan of one rater); None of no
    votes."""
    of = Counter(vote.rater for vote in votes)
    if not of:
        return None
    won = Counter(vote.rater for vote in votes if vote.method == method)
    over, under = (np.array([count[rater] for rater in of]) for count in (won, of))
    low, high = ratio_interval(over, under) if len(of) > 1 else (np.nan, np.nan)
    return float(over.sum() / under.sum()), low, high


def agreement(votes: Sequence[Vote], sheet: Sheet) -> float:
    """Fleiss' kappa of the raters of the same clips; nan where nothing can be said."""
    counts = Counter((vote.clip, vote.method) for vote in votes)
    return fleiss_kappa(
        np.array([[counts[clip.name, method] for method in sheet.methods] for clip in sheet.clips])
    )


def _overall(votes: Sequence[Vote], sheet: Sheet) -> list[list[str]]:
    asked = [_of(votes, question.key) for question in QUESTIONS]
    rows = [["method", *(question.heading for question in QUESTIONS)]]
    for method in sheet.methods:
        rows.append([method, *(_with_interval(share(part, method)) for part in asked)])
    kappas = [agreement(part, sheet) for part in asked]
    rows.append(["Fleiss' kappa", *("-" if np.isnan(k) else f"{k:.3f}" for k in kappas)])
    return rows


def _by_emotion(votes: Sequence[Vote], sheet: Sheet) -> list[list[str]]:
    head = [f"{question.heading}: {name}" for question in QUESTIONS for name in sheet.methods]
    rows = [["emotion", *head]]
    for emotion in [*sheet.emotions, "all"]:
        clips = {clip.name for clip in sheet.clips if emotion in (clip.emotion, "all")}
        own = [vote for vote in votes if vote.clip in clips]
        cells = []
        for question in QUESTIONS:
            part = _of(own, question.key)
            for method in sheet.methods:
                told = share(part, method)
                cells.append("-" if told is None else f"{100 * told[0]:.0f} %")
        rows.append([emotion, *cells])
    return rows


def _of(votes: Sequence[Vote], question: str) -> list[Vote]:
    return [vote for vote in votes if vote.question == question]


def _with_interval(told: tuple[float, float, float] | None) -> str:
    if told is None:
        return "-"
    value, low, high = (100 * part for part in told)
    return f"{value:.0f} %" if np.isnan(low) else f"{value:.0f} % ({low:.0f} to {high:.0f})"


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    head, *body = [" | ".join(cell.replace("|", "\\|") for cell in row) for row in rows]
    ruler = " | ".join(["---", *["---:"] * (len(rows[0]) - 1)])
    return "\n".join(f"| {line} |" for line in (head, ruler, *body))
