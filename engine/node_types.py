"""Find a node's class: by "module:Class", or by the name that a package installed it under."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

from engine import plugins
from engine.errors import MienError, UsageError, suggestion, words
from engine.node import Node

_TYPE = re.compile(r"\w+(\.\w+)*:\w+\Z")
_INSTALLED = re.compile(r"[\w.-]+\Z")


def find(name: str) -> tuple[str, type[Node]]:
    """The "module:Class" that ``name`` stands for, and the class. Raises UsageError, or MienError
    where a package that it needs isn't here."""
    if _INSTALLED.match(name):
        name = plugins.class_of(name)
    if not _TYPE.match(name):
        raise UsageError(f'"{name}" is no node; it needs type = "module:Class"')
    module_name, _, class_name = name.partition(":")
    module = _module(_moved(module_name))
    found = getattr(module, class_name, None)
    if isinstance(found, type) and issubclass(found, Node):
        check_ports(found)
        return name, found
    nodes = [
        key
        for key, value in vars(module).items()
        if isinstance(value, type)
        and issubclass(value, Node)
        and value.__module__ == module.__name__
    ]
    raise UsageError(
        f"no node class '{class_name}' in {module_name}{suggestion(class_name, nodes)}"
    )


def check_ports(node: type[Node]) -> None:
    """Raises UsageError where a node's methods don't take what its ports give."""
    if not isinstance(node.inputs, Mapping):
        raise UsageError(f"{node.__name__}.inputs is a mapping from names to Latest or Fifo")
    for method in (name for name in dir(node) if name.startswith("on_")):
        if method[3:] not in node.inputs:
            raise UsageError(
                f"{_place(node, method)} is of no input{suggestion(method[3:], node.inputs)}"
            )
    joined = [port for port in node.inputs if not hasattr(node, f"on_{port}")]
    if not joined:
        return
    taken = dict(list(inspect.signature(node.process).parameters.items())[1:])
    if any(one.kind is one.VAR_KEYWORD for one in taken.values()):
        if node.process is Node.process:
            raise UsageError(f"{node.__name__} has inputs and neither process nor on_{joined[0]}")
        return
    for port in joined:
        if port not in taken:
            raise UsageError(
                f"{_place(node, 'process')} doesn't take its input '{port}'"
                f"{suggestion(port, taken)}"
            )
    for name, one in taken.items():
        if name not in joined and one.default is one.empty:
            raise UsageError(
                f"{_place(node, 'process')} takes '{name}', which is no input"
                f"{suggestion(name, joined)}"
            )


def _place(node: type[Node], method: str) -> str:
    """A method, and where it is written."""
    code = getattr(getattr(node, method), "__code__", None)
    where = f" ({code.co_filename}:{code.co_firstlineno})" if code is not None else ""
    return f"{node.__name__}.{method}{where}"


def _module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        missing = getattr(error, "name", None) or name
        if missing != name and not name.startswith(f"{missing}."):
            raise MienError(f"{name} needs the package '{missing}': pip install it") from None
        raise UsageError(f"no module '{name}'{suggestion(name, _near(name))}") from None
    except SyntaxError as error:
        raise UsageError(f"{name}: {error.filename}:{error.lineno}: {error.msg}") from None
    except (Exception, SystemExit) as error:  # the file is somebody's code: anything goes
        raise UsageError(f"{name} can't be loaded: {words(error)}{_where(error)}") from None


def _moved(name: str) -> str:
    """Where a module lies now that its package says has ``MOVED``."""
    package, _, rest = name.partition(".")
    try:
        moved = getattr(importlib.import_module(package), "MOVED", {})
    except (Exception, SystemExit):  # whatever is wrong with it, the module itself will say
        return name
    return f"{package}.{moved[rest]}" if rest in moved else name


def _near(name: str) -> set[str]:
    """Modules that may have been meant: those of its package, and those that are loaded."""
    package = name.partition(".")[0]
    known = {loaded for loaded in sys.modules if loaded.startswith(f"{package}.")}
    try:
        folder = Path(str(importlib.import_module(package).__file__)).parent
    except (ImportError, ValueError):
        return known
    for path in folder.rglob("*.py"):
        if path.stem != "__init__":
            known.add(".".join((package, *path.relative_to(folder).with_suffix("").parts)))
    return known


def _where(error: BaseException) -> str:
    """Where in a file an error arose, as " (FILE:LINE)"."""
    last = traceback.extract_tb(error.__traceback__)[-1:]
    return f" ({last[0].filename}:{last[0].lineno})" if last else ""
