"""Fetches a small document over verified TLS: no redirects, few octets, a short time."""

import asyncio
import http.client
import ssl
from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import urlsplit

SECONDS: Final = 5.0
LIMIT: Final = 64 * 1024

# Gives the body of a URL; raises FetchError.
Fetch = Callable[[str], Awaitable[bytes]]


class FetchError(Exception):
    """The document is not to be had now; `code` is the answer's status where there was one."""

    def __init__(self, code: int = 0) -> None:
        super().__init__("not fetched")
        self.code = code


async def fetch(url: str, *, context: ssl.SSLContext | None = None) -> bytes:
    """The body of an `https` URL that answers 200. A redirect is no answer: it would name a host that nobody pinned."""
    return await asyncio.to_thread(_get, url, context or ssl.create_default_context())


def _get(url: str, context: ssl.SSLContext) -> bytes:
    parts = urlsplit(url)
    if parts.scheme != "https" or parts.hostname is None:
        raise FetchError
    connection = http.client.HTTPSConnection(parts.hostname, parts.port, timeout=SECONDS, context=context)
    try:
        connection.request("GET", parts._replace(scheme="", netloc="").geturl())
        answer = connection.getresponse()
        body = answer.read(LIMIT + 1)
    except (OSError, http.client.HTTPException) as error:
        raise FetchError from error
    finally:
        connection.close()
    check_answer(answer.status, body)
    return body


def check_answer(status: int, body: bytes) -> None:
    """FetchError for any answer but a 200 of at most LIMIT octets."""
    if status != http.client.OK or len(body) > LIMIT:
        raise FetchError(status)
