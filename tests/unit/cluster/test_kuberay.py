"""The manifest for KubeRay: its fields, what Ray's own autoscaler reads of it, and its command."""

from __future__ import annotations

import argparse
import importlib
import json
import re
import shlex
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from commands import serve

ROOT = Path(__file__).parents[3]
SCHEMA = json.loads((Path(__file__).parent / "raycluster.schema.json").read_text())
FILE = ROOT / "docker" / "kuberay.yaml"


@pytest.fixture
def manifest() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(FILE.read_text())
    return loaded


def test_its_fields_are_those_of_the_schema(manifest: dict[str, Any]) -> None:
    check = jsonschema.Draft202012Validator(SCHEMA)
    check.check_schema(SCHEMA)
    assert [error.message for error in check.iter_errors(manifest)] == []
    (group,) = manifest["spec"]["workerGroupSpecs"]
    group["maxReplica"] = group.pop("maxReplicas")
    manifest["spec"]["headGroupSpec"]["rayStartParams"]["num-cpus"] = 0
    assert len(list(check.iter_errors(manifest))) == 3  # unknown, missing, no string


def test_rays_autoscaler_reads_it(manifest: dict[str, Any]) -> None:
    """By the code with which it reads the resource in a cluster; it holds the outcome to Ray's own
    schema."""
    pytest.importorskip("ray", reason="the extra `cluster`")
    inside: Any = importlib.import_module("ray.autoscaler._private.kuberay.autoscaling_config")
    read = inside._derive_autoscaling_config_from_ray_cr(manifest)
    kinds = read["available_node_types"]
    assert read["idle_timeout_minutes"] == 1
    assert kinds["headgroup"]["resources"]["CPU"] == 0  # nothing but the front is there
    cards = kinds["cards"]
    assert (cards["min_workers"], cards["max_workers"]) == (1, 8)
    assert cards["resources"]["GPU"] == 1 and cards["resources"]["CPU"] == 8
    asked = options(manifest)
    assert asked.workers == (cards["min_workers"], cards["max_workers"])
    assert asked.gpus <= cards["resources"]["GPU"] and asked.cores <= cards["resources"]["CPU"]


def test_its_command_is_one_of_ours_and_its_ray_the_one_that_was_tried(
    manifest: dict[str, Any],
) -> None:
    asked = options(manifest)
    assert (asked.cluster, asked.address) == ("auto", "0.0.0.0")
    ports = {port["name"]: port["containerPort"] for port in head(manifest)["ports"]}
    assert ports["page"] == asked.port
    pinned = (ROOT / ".ci" / "constraints.txt").read_text().splitlines()
    assert f"ray=={manifest['spec']['rayVersion']}" in pinned


def head(manifest: dict[str, Any]) -> dict[str, Any]:
    container: dict[str, Any] = manifest["spec"]["headGroupSpec"]["template"]["spec"]["containers"][
        0
    ]
    return container


def options(manifest: dict[str, Any]) -> argparse.Namespace:
    (line,) = head(manifest)["args"]
    found = re.search(r"exec mien serve (.*)", line)
    assert found is not None
    parser = argparse.ArgumentParser()
    serve.add_arguments(parser)
    return parser.parse_args(shlex.split(found[1]))
