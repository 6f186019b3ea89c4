"""One request to an endpoint. Whatever it answers, only the status is kept.

The url comes from the settings; a redirect would lead where nobody wrote it, so it is a failure like any other.
"""

import asyncio
import contextlib
from collections.abc import Mapping
from importlib.metadata import version
from typing import Final

import aiohttp

SECONDS: Final = 10.0
_READ: Final = 64 * 1024  # octets of an answer that are read, to use its connection again; more closes it
_READ_SECONDS: Final = 2.0


class Poster:
    """Posts, with connections that are used again. For one running loop; close it at the end."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._session: aiohttp.ClientSession | None = None

    async def __call__(self, url: str, body: bytes, headers: Mapping[str, str]) -> int | str:
        """The status; or a word for why there is none: `timeout`, `tls`, `connect`, `lost`."""
        try:
            async with self._open().post(url, data=body, headers=dict(headers), allow_redirects=False) as answer:
                await _read(answer)
                return answer.status
        except TimeoutError:
            return "timeout"
        except aiohttp.ClientSSLError:
            return "tls"
        except aiohttp.ClientConnectorError:
            return "connect"
        except (aiohttp.ClientError, OSError, ValueError):
            return "lost"

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=self._seconds),
                connector=aiohttp.TCPConnector(limit=0),  # each endpoint has a limit of its own
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"user-agent": f"Preklic/{version('preklic')}", "accept-encoding": "identity"},
                auto_decompress=False,
                trust_env=False,
            )
        return self._session


async def _read(answer: aiohttp.ClientResponse) -> None:
    """Take the body off the connection if that is quick; the status says all that is asked."""
    with contextlib.suppress(aiohttp.ClientError, TimeoutError, OSError):
        async with asyncio.timeout(_READ_SECONDS):
            left = _READ
            while left > 0 and (part := await answer.content.read(left)):
                left -= len(part)
