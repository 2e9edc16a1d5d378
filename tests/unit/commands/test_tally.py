"""News on the terminal: equal ones are counted."""

from __future__ import annotations

from commands.tally import MOST, Tally


def test_equal_news_are_told_once_and_counted() -> None:
    told: list[tuple[str, str]] = []
    tally = Tally(lambda level, text: told.append((level, text)))
    for _ in range(187):
        tally.add("warning", "whip: lost")
    tally.add("error", "net ended")
    assert told == [
        ("warning", "whip: lost"),
        ("warning", "whip: lost (10 times)"),
        ("warning", "whip: lost (100 times)"),
        ("error", "net ended"),
    ]
    tally.end()
    assert told[4:] == [("warning", "whip: lost (187 times)")]


def test_news_that_never_repeat_are_all_told_and_forgotten() -> None:
    told: list[str] = []
    tally = Tally(lambda _, text: told.append(text))
    for number in range(3 * MOST):
        tally.add("warning", f"{number} fps")
    assert len(tally._counts) == MOST
    tally.end()
    assert told == [f"{number} fps" for number in range(3 * MOST)]
