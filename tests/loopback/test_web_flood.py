"""Malformed requests, offers and messages don't touch the pictures of others."""

from __future__ import annotations

import pytest

from tests.loopback.flood import flood


async def test_pictures_flow_through_a_flood(caplog: pytest.LogCaptureFixture) -> None:
    result = await flood(600)
    assert result.pictures > 10 * result.seconds  # the flood is over in a third of a second
    assert result.lost == 0
    assert result.grown_mb < 40
    assert sum(result.answers.values()) >= 600
    assert not any(name.endswith((" 500", "done")) for name in result.answers), result.answers
    assert "Traceback" not in caplog.text
