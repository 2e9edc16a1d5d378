"""Takes TLS and hands on what it carries: `python -m tests.loopback.tls_front PORT CERT KEY`.

A process of its own: PyAV connects without letting other threads of its process run. Says its port.
"""

from __future__ import annotations

import asyncio
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from cluster.certificate import Certificate


@contextmanager
def behind_tls(port: int, certificate: Certificate) -> Iterator[int]:
    """The port of a front to what listens at another without TLS."""
    asked = [str(port), certificate.cert, certificate.key]
    with subprocess.Popen(
        [sys.executable, "-m", "tests.loopback.tls_front", *asked], stdout=subprocess.PIPE
    ) as front:
        assert front.stdout is not None
        try:
            yield int(front.stdout.readline())
        finally:
            front.kill()


async def _serve(port: int, cert: str, key: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while block := await reader.read(65_536):
                writer.write(block)
                await writer.drain()
        writer.close()

    async def between(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(carry(reader, inner[1]), carry(inner[0], writer))

    front = await asyncio.start_server(between, "127.0.0.1", 0, ssl=context)
    print(front.sockets[0].getsockname()[1], flush=True)
    await front.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), *sys.argv[2:]))
