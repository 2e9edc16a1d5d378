"""What others wrote for the page is whole: licences beside it, and every import leads to a file."""

from __future__ import annotations

import re

from docs.vendor import PACKAGES, VENDOR, by_path


def test_every_file_is_there_and_named() -> None:
    named = {name for files in PACKAGES.values() for name in files.values()}
    assert {path.name for path in VENDOR.iterdir()} == named | {"README.md"}
    said = (VENDOR / "README.md").read_text()
    for package, files in PACKAGES.items():
        name, _, version = package.rpartition("@")
        assert f"{name.removeprefix('three@')} {version}" in said.replace("three.js", "three")
        assert "MIT" in (VENDOR / files["LICENSE"]).read_text()


def test_imports_are_paths() -> None:
    assert by_path("import * as A from'three';") == "import * as A from'./three.module.min.js';"
    for path in VENDOR.glob("*.js"):
        text = re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.DOTALL)
        for target in re.findall(
            r"""^\s*import.*?from\s*["']([^"']+)["']""", text, re.M | re.DOTALL
        ):
            assert target.startswith("./") and (VENDOR / target).is_file(), f"{path.name}: {target}"
