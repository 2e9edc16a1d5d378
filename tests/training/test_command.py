"""How commands end: an exit code, and one line where it isn't 0."""

from __future__ import annotations

import pytest

from engine.errors import MienError, UsageError
from training import command


def raises(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (MienError("no clips"), 1, "made: no clips\n"),
        (UsageError("say which"), 2, "made: say which\n"),
        (KeyboardInterrupt(), 130, "made: stopped; run it again\n"),
    ],
)
def test_what_goes_wrong_is_a_code_and_a_line(
    error: BaseException, code: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.run("made", lambda: raises(error), "stopped; run it again") == code
    assert capsys.readouterr().err == line


def test_what_goes_well_is_silent_and_what_is_unforeseen_is_not_hidden(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert command.run("made", lambda: 5) == 0
    assert capsys.readouterr().err == ""
    with pytest.raises(ZeroDivisionError):
        command.run("made", lambda: 1 // 0)


def test_help_is_the_modules_own(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.parser_of("training.made", "First.\n\n  kept as it is").parse_args(["--help"])
    told = capsys.readouterr().out
    assert told.startswith("usage: python -m training.made") and "\n  kept as it is" in told
