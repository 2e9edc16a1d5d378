"""What is sent to a cluster's processes whole: they can import nothing of Mien before ``mien``.

Everything that a function here needs is imported inside it.
"""

from __future__ import annotations


def call(work: bytes) -> bytes:
    """Unpack a function and what it takes, and call it; what comes of it, packed: (result, "") or
    (None, why there is none)."""
    import importlib
    import pickle

    importlib.import_module("mien")  # the other packages can be imported from here on
    from engine.errors import MienError

    function, argument = pickle.loads(work)
    try:
        return pickle.dumps((function(argument), ""))
    except MienError as error:
        return pickle.dumps((None, str(error)))
