"""Where the server is bound and how peers find each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

WEB_SERVER: Final = "the web server"
"""what the page's nodes share in their process, by name"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """Words of a configuration; "" where there is none."""

    host: str = "127.0.0.1"
    port: int = 8080
    token: str = ""
    cert: str = ""
    key: str = ""
    ice_servers: str = ""
    public_url: str = ""
    trusted_proxies: str = ""
    socket: str = ""
    """a path to listen at in the address's place: what comes there was let in by another server"""
