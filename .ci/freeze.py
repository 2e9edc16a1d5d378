"""What is installed here of all that Mien depends on, its extras too, as constraints for pip.

    python .ci/freeze.py > .ci/constraints.txt

Run it where all tests pass and every extra is installed; `.ci/newest` makes such an environment.
"""

from __future__ import annotations

import importlib.metadata
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HEAD = """\
# What all tests last passed with, on Linux and the Python of .ci/run, which installs from this.
# Made by: python .ci/freeze.py > .ci/constraints.txt
"""


def closure(waiting: list[Requirement]) -> dict[str, str]:
    """The versions here of what is required, and of what that requires; what isn't here is left."""
    found: dict[str, str] = {}
    done: set[tuple[str, str]] = set()
    while waiting:
        asked = waiting.pop()
        name = canonicalize_name(asked.name)
        extras = {"", *asked.extras}
        try:
            there = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        found[name] = there.version.partition("+")[0]  # a build of its own, such as torch's +cpu
        for extra in extras - {seen for who, seen in done if who == name}:
            done.add((name, extra))
            for line in there.requires or ():
                needed = Requirement(line)
                if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                    waiting.append(needed)
    return found


if __name__ == "__main__":
    text = (Path(__file__).parents[1] / "pyproject.toml").read_text()
    project = tomllib.loads(text)["project"]
    extras = [line for lines in project["optional-dependencies"].values() for line in lines]
    asked = [Requirement(line) for line in [*project["dependencies"], *extras]]
    here = closure([line for line in asked if line.marker is None or line.marker.evaluate()])
    print(HEAD, *(f"{name}=={version}\n" for name, version in sorted(here.items())), sep="", end="")
