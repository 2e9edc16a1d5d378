"""Whose request it is, and which page is the server's own, behind a proxy and without one."""

from __future__ import annotations

from typing import cast

import pytest
from aiohttp import web
from multidict import CIMultiDict

from engine.errors import MienError
from nodes.web.proxy import Proxy


def request(remote: str, host: str = "127.0.0.1:8080", **headers: str) -> web.Request:
    class Fake:
        def __init__(self) -> None:
            self.remote, self.host = remote, host
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            self.headers = CIMultiDict({"Host": host, **named})

    return cast(web.Request, Fake())


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("", ""),
        ("https://avatar.example", "https://avatar.example"),
        ("https://Avatar.example:443/", "https://avatar.example"),
        ("http://avatar.example:8000", "http://avatar.example:8000"),
        ("https://[2001:db8::1]:8443", "https://[2001:db8::1]:8443"),
    ],
)
def test_a_public_address_is_an_origin(url: str, origin: str) -> None:
    assert Proxy.parse("http", url, "").public == origin


@pytest.mark.parametrize(
    "url", ["avatar.example", "ftp://a", "https://a/b", "https://", "http://[::1", "http://a:x"]
)
def test_other_public_addresses_are_refused_in_words(url: str) -> None:
    with pytest.raises(MienError, match="--public-url takes"):
        Proxy.parse("http", url, "")


@pytest.mark.parametrize("proxies", ["proxy.example", "10.0.0.0/99", "1.2.3"])
def test_proxies_are_addresses(proxies: str) -> None:
    with pytest.raises(MienError, match="--trust-proxy takes"):
        Proxy.parse("http", "", proxies)


@pytest.mark.parametrize(
    ("remote", "forwarded", "client"),
    [
        ("192.0.2.9", "203.0.113.1", "192.0.2.9"),  # nobody's proxy
        ("127.0.0.1", "203.0.113.1", "203.0.113.1"),
        ("127.0.0.1", "198.51.100.7, 203.0.113.1, 10.1.2.3", "203.0.113.1"),  # the first is claimed
        ("127.0.0.1", "10.1.2.3", "10.1.2.3"),
        ("127.0.0.1", "rubbish", "127.0.0.1"),
        ("::ffff:127.0.0.1", "[2001:db8::5]:4711", "2001:db8::5"),
        ("127.0.0.1", "203.0.113.1:99", "203.0.113.1"),
    ],
)
def test_the_client_is_the_last_that_is_no_proxy(remote: str, forwarded: str, client: str) -> None:
    proxy = Proxy.parse("http", "", "127.0.0.1, 10.0.0.0/8")
    assert proxy.client(request(remote, X_Forwarded_For=forwarded)) == client


def test_origins() -> None:
    proxy = Proxy.parse("http", "https://avatar.example", "127.0.0.1")
    forwarded = {"X_Forwarded_Proto": "https", "X_Forwarded_Host": "other.example"}
    assert proxy.origins(request("192.0.2.9", **forwarded)) == {
        "http://127.0.0.1:8080", "https://avatar.example",
    }  # fmt: skip
    assert "https://other.example" in proxy.origins(request("127.0.0.1", **forwarded))


def test_the_way_to_the_browser() -> None:
    proxy = Proxy.parse("http", "https://avatar.example", "127.0.0.1")
    assert proxy.over_tls(request("192.0.2.9", "avatar.example"))
    assert not proxy.over_tls(request("192.0.2.9"))
    assert proxy.over_tls(request("127.0.0.1", X_Forwarded_Proto="https"))
    assert not proxy.over_tls(request("192.0.2.9", X_Forwarded_Proto="https"))
    assert Proxy.parse("https", "", "").over_tls(request("192.0.2.9"))
