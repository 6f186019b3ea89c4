"""One request to a service that the settings name, and its answer: limited in size and time, no redirect followed."""

from importlib.metadata import version
from typing import Final

import aiohttp

SECONDS: Final = 20.0


class Unanswered(Exception):
    """There is no answer; `why` is a word."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


async def exchange(url: str, body: bytes | None, kind: str, most: int, seconds: float = SECONDS) -> tuple[int, bytes]:
    """The status, and at most one octet more than `most` of the body. Posts `body` as content of this kind, or gets.

    Raises Unanswered.
    """
    headers = {"user-agent": f"Preklic/{version('preklic')}", "accept-encoding": "identity"}
    headers |= {"content-type": kind} if body is not None else {}
    timeout, method = aiohttp.ClientTimeout(total=seconds), "GET" if body is None else "POST"
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, auto_decompress=False, trust_env=False) as session,
            session.request(method, url, data=body, headers=headers, allow_redirects=False) as answer,
        ):
            return answer.status, await _read(answer, most)
    except TimeoutError:
        raise Unanswered("timeout") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise Unanswered(type(error).__name__) from None


async def _read(answer: aiohttp.ClientResponse, most: int) -> bytes:
    octets = b""
    while len(octets) <= most and (part := await answer.content.read(most + 1 - len(octets))):
        octets += part
    return octets
