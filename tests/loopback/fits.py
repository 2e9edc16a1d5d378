"""What measures how many sessions a worker carries, where a test has no time for it."""

from __future__ import annotations

from serving.machine import Machine


async def fits(machine: Machine, expect: str, cores: float) -> tuple[int, str]:
    """As many as it has cores."""
    await machine.warm()
    return int(cores), f"{cores:g} visitors of {expect}"
