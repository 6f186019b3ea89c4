"""The two answers that come in floods, before any router: a believed click and a believed pixel, by GET.

Everything else goes on to the routes, also what is not believed: there it is counted and paced (`public`). What is
answered here is answered as there, octet by octet.
"""

import time
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from preklic_producers.fields import Rejected
from preklic_producers.gateway.context import Gateway
from preklic_producers.gateway.public import GIF, seen
from preklic_shared.tokens import Click, Open

_Headers = list[tuple[bytes, bytes]]
_CLICK, _PIXEL, _GIF = "/c/", "/o/", ".gif"
_PIXEL_HEADERS: Final = [
    (b"cross-origin-resource-policy", b"cross-origin"),
    (b"content-length", str(len(GIF)).encode()),
    (b"content-type", b"image/gif"),
]
_ASKED: Final = {b"user-agent": "user-agent", b"purpose": "purpose", b"sec-purpose": "sec-purpose"}


class Hot:
    """ASGI middleware, next to the routes."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on."""
        if scope["type"] == "http" and scope["method"] == "GET":
            path: str = scope["path"]
            if path.startswith(_CLICK) and (location := await _clicked(scope, path[len(_CLICK) :])) is not None:
                await _answer(send, 302, [(b"location", location), (b"content-length", b"0")], b"")
                return
            if path.startswith(_PIXEL) and path.endswith(_GIF) and await _opened(scope, path[len(_PIXEL) : -len(_GIF)]):
                await _answer(send, 200, _PIXEL_HEADERS, GIF)
                return
        await self._app(scope, receive, send)


async def _clicked(scope: Scope, text: str) -> bytes | None:
    """Where a believed click leads; None leaves it to the routes."""
    gateway: Gateway = scope["app"].state.gateway
    token = gateway.keys.check(text, Click)
    if token is None or not await _seen(gateway, token, scope):
        return None
    return token.url.encode("ascii")


async def _opened(scope: Scope, text: str) -> bool:
    gateway: Gateway = scope["app"].state.gateway
    begun = time.perf_counter()
    token = gateway.keys.check(text, Open)
    if token is None or not await _seen(gateway, token, scope):
        return False
    gateway.pace.saw(time.perf_counter() - begun)
    return True


async def _seen(gateway: Gateway, token: Click | Open, scope: Scope) -> bool:
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        if name in _ASKED:
            headers.setdefault(_ASKED[name], value.decode("latin-1"))
    try:
        await seen(gateway, token, headers)
    except Rejected:
        return False
    return True


async def _answer(send: Send, status: int, headers: _Headers, body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
