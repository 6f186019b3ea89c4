"""Request bodies: read within a size and a time, or refused."""

import asyncio
from typing import Final

from starlette.requests import ClientDisconnect, Request

from preklic_producers.gateway.errors import ApiError

FORM_LIMIT: Final = 16 * 1024
SECONDS: Final = 5.0


async def read_body(request: Request, limit: int) -> bytes:
    """The whole body. Raises ApiError: 413 too large, 408 too slow, 400 cut.

    A request with two lengths does not come here: the HTTP parser ends it with 400.
    """
    length = request.headers.get("content-length", "0")
    if not length.isdigit() or int(length) > limit:
        raise ApiError(413, "too_large", f"a body here has at most {limit} octets")
    try:
        async with asyncio.timeout(SECONDS):
            return await _within(request, limit)
    except TimeoutError:
        raise ApiError(408, "too_slow", f"a body here arrives within {SECONDS:g} seconds") from None
    except ClientDisconnect:
        raise ApiError(400, "cut", "the body was cut") from None


async def _within(request: Request, limit: int) -> bytes:
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise ApiError(413, "too_large", f"a body here has at most {limit} octets")
        parts.append(part)
    return b"".join(parts)
