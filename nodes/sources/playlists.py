"""What a playlist at an https:// address names, fetched from servers that prove who they are.

FFmpeg checks who sent the playlist, where it is told to, but not who sends the pieces that it
names: it doesn't hand that option on.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import unquote, urlsplit, urlunsplit
from urllib.request import (
    HTTPBasicAuthHandler,
    HTTPDigestAuthHandler,
    HTTPPasswordMgrWithDefaultRealm,
    HTTPSHandler,
    build_opener,
)

REFUSED: Final = {"allowed_extensions": "none", "allowed_segment_extensions": "none"}
"""options with which FFmpeg refuses a playlist before it asks for anything that it names"""
FETCHED: Final = {"http_persistent": "0"}
"""those with which all that it names is asked of ``io_open``"""


def fetcher(address: str, within_s: float) -> Callable[[str, int, dict[str, str]], Any]:
    """``io_open`` of `av.open`, for an address and what lies there: name and password go to its own
    host alone."""
    known = HTTPPasswordMgrWithDefaultRealm()
    parts = urlsplit(address)
    if parts.username is not None:
        name, word = unquote(parts.username), unquote(parts.password or "")
        known.add_password(None, _without_name(address), name, word)
    opener = build_opener(
        HTTPSHandler(context=ssl.create_default_context()),
        HTTPBasicAuthHandler(known), HTTPDigestAuthHandler(known),
    )  # fmt: skip

    def fetch(url: str, _flags: int, _options: dict[str, str]) -> Any:
        if urlsplit(url).scheme != "https":
            raise OSError("its playlist names what isn't https://")
        return opener.open(_without_name(url), timeout=within_s)

    return fetch


def format_of(address: str) -> str:
    """As FFmpeg calls it: what it reads by ``io_open`` doesn't say."""
    return "dash" if urlsplit(address).path.endswith(".mpd") else "hls"


def _without_name(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
