"""The tables of a graph's file, held to their form: mistakes are named with their line."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any

from engine.errors import UsageError, suggestion, words
from engine.graph_spec import HostSpec
from engine.lines import find_line

NAME = re.compile(r"[a-z][a-z0-9_]*\Z")
_KEY = re.compile(r"[0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}\Z")  # Z85
_RESERVED = ("control", "supervisor")
_PROCESS_KEYS = ("nodes", "host")
_HOST_KEYS = ("address", "port", "public_key")


class Tables:
    """``raw`` is the file's content, ``text`` its words ("" where it is no file)."""

    def __init__(self, raw: dict[str, Any], text: str, where: str) -> None:
        self.raw = raw
        self.text = text
        self.where = where

    def fail(self, problem: str, table: str = "", key: str = "", word: str = "") -> UsageError:
        line = find_line(self.text, table, key, word) if table else None
        place = f"{self.where}:{line}" if line else self.where
        return UsageError(words(UsageError(f"{place}: {problem}")))

    def table(self, value: Any, name: str, allowed: Iterable[str] | None = None) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise self.fail(f"[{name}] should be a table", name)
        if allowed is not None:
            for key in value:
                if key not in allowed:
                    raise self.fail(
                        f"unknown key '{key}' in [{name}]{suggestion(key, allowed)}", name, key
                    )
        return value

    def seconds(self, key: str, default: float) -> float:
        value = self.raw.get(key, default)
        if type(value) not in (int, float) or not 0 < value < math.inf:
            raise self.fail(f"{key} is a number of seconds, not {value!r}", key)
        return float(value)

    def services(self) -> dict[str, str]:
        services = self.table(self.raw.get("services", {}), "services")
        for name, address in services.items():
            if not isinstance(address, str):
                raise self.fail(f"{name} is an address, not {address!r}", "services", name)
        return services

    def hosts(self) -> dict[str, HostSpec]:
        hosts = {}
        for name, entry in self.table(self.raw.get("hosts", {}), "hosts").items():
            table = f"hosts.{name}"
            entry = self.table(entry, table, _HOST_KEYS)
            for key, kind in (("address", str), ("port", int), ("public_key", str)):
                if type(entry.get(key)) is not kind:
                    raise self.fail(f"[{table}] needs {key} ({kind.__name__})", table, key)
            if not 0 < entry["port"] < 2**16 - len(self.raw.get("processes", {})):
                raise self.fail(f"port {entry['port']} is none", table, "port")
            if not _KEY.match(entry["public_key"]):
                raise self.fail(
                    "public_key has 40 characters; `graph --key` shows it", table, "public_key"
                )
            hosts[name] = HostSpec(entry["address"], entry["port"], entry["public_key"])
        return hosts

    def placement(
        self, entries: dict[str, Any], hosts: dict[str, HostSpec]
    ) -> tuple[dict[str, str], dict[str, str]]:
        placement: dict[str, str] = {}
        processes: dict[str, str] = {}
        for process, entry in self.table(self.raw.get("processes", {}), "processes").items():
            table = f"processes.{process}"
            entry = self.table(entry, table, _PROCESS_KEYS)
            if not NAME.match(process):
                raise self.fail(f"'{process}' is no name for a process: a-z, 0-9 and _", table)
            if process in _RESERVED:
                raise self.fail(
                    f"'{process}' is the engine's own; name the process otherwise", table
                )
            host = entry.get("host", "")
            if not isinstance(host, str) or (host and host not in hosts):
                raise self.fail(f"unknown host '{host}'{suggestion(host, hosts)}", table, "host")
            processes[process] = host
            names = entry.get("nodes")
            if not isinstance(names, list) or not all(isinstance(node, str) for node in names):
                raise self.fail(f"[{table}] needs nodes = [names]", table, "nodes")
            for node in names:
                if node not in entries:
                    known = suggestion(node, entries)
                    raise self.fail(f"no node '{node}'{known}", table, "nodes", str(node))
                if node in placement:
                    raise self.fail(
                        f"{node} is already in process {placement[node]}", table, "nodes", node
                    )
                placement[node] = process
        if hosts and "" in processes.values():
            process = next(name for name, host in processes.items() if not host)
            raise self.fail(f"[processes.{process}] needs host, since the graph has hosts")
        return placement, processes
