"""A proxy before the server: the address that browsers see, and whose forwarded headers count."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from aiohttp import hdrs, web

from engine.errors import MienError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class Proxy:
    """``scheme`` is the server's own, ``public`` an origin like https://avatar.example or "";
    forwarded headers count from addresses of ``proxies`` alone."""

    scheme: str
    public: str = ""
    proxies: tuple[Network, ...] = ()

    @classmethod
    def parse(cls, scheme: str, public_url: str, proxies: str) -> Proxy:
        """Raises MienError in words."""
        return cls(scheme, _origin(public_url), tuple(_networks(proxies)))

    @property
    def public_host(self) -> str:
        """The name in ``public``, without its port."""
        return urlsplit(self.public).hostname or ""

    def client(self, request: web.Request) -> str:
        """Whose request it is: the last address on its way that no trusted proxy has."""
        came = request.remote or ""
        hops = ",".join(request.headers.getall("X-Forwarded-For", [])).split(",")
        while self._trusts(came) and hops:
            before = _address(hops.pop())
            if before is None:
                break
            came = str(before)
        return came

    def origins(self, request: web.Request) -> set[str]:
        """What the page of this server calls its origin, as browsers write it."""
        found = {self.public}
        if request.host.lower() != self.public.partition("://")[2]:
            found.add(f"{self.scheme}://{request.host}")
        if self._trusts(request.remote or ""):
            scheme = request.headers.get("X-Forwarded-Proto", self.scheme)
            host = request.headers.get("X-Forwarded-Host", request.host)
            found.add(f"{scheme}://{host}")
        return {origin.lower() for origin in found if origin}

    def over_tls(self, request: web.Request) -> bool:
        """Whether the browser's side of the way is encrypted."""
        if self._trusts(request.remote or "") and "X-Forwarded-Proto" in request.headers:
            return request.headers["X-Forwarded-Proto"].lower() == "https"
        public = self.public.partition("://")
        return self.scheme == "https" or (
            public[0] == "https" and request.headers.get(hdrs.HOST, "").lower() == public[2]
        )

    def _trusts(self, text: str) -> bool:
        address = _address(text)
        return address is not None and any(address in network for network in self.proxies)


def _address(text: str) -> Address | None:
    """An address as it is written in forwarded headers: with a port, in brackets, with a zone."""
    text = text.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _origin(url: str) -> str:
    if not url:
        return ""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/"):
        raise MienError(
            f"'{url}' is no address that a page can have: --public-url takes "
            "https://HOST or https://HOST:PORT, without a path"
        )
    usual = {"http": 80, "https": 443}[parts.scheme]
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    port = "" if parts.port in (None, usual) else f":{parts.port}"
    return f"{parts.scheme}://{host}{port}"


def _networks(text: str) -> list[Network]:
    found: list[Network] = []
    for item in text.replace(",", " ").split():
        try:
            found.append(ipaddress.ip_network(item, strict=False))
        except ValueError:
            raise MienError(
                f"'{item}' is no address: --trust-proxy takes addresses and networks, "
                "like 127.0.0.1,10.0.0.0/8"
            ) from None
    return found
