"""Around every answer: headers that keep it private, and the ceiling for clients that guess tokens."""

from typing import Final

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from preklic_producers.gateway.clients import Ceiling, Network, client_of, household
from preklic_producers.gateway.error_pages import answer_broken
from preklic_producers.gateway.errors import ApiError
from preklic_producers.gateway.style import STYLE_HASH

HEADERS: Final = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex, nofollow",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{STYLE_HASH}'; form-action 'self'; frame-ancestors 'none'; "
        "base-uri 'none'"
    ),
}
_GUESSED: Final = ("/c/", "/o/", "/u/", "/p/", "/confirm/")


class Shield:
    """ASGI middleware. `misses` and `trusted` are the gateway's; HSTS is sent when the public URL is https."""

    def __init__(self, app: ASGIApp, misses: Ceiling, trusted: tuple[Network, ...], *, https: bool) -> None:
        self._app, self._misses, self._trusted = app, misses, trusted
        headers = HEADERS | ({"Strict-Transport-Security": "max-age=31536000"} if https else {})
        self._headers = [(name.lower().encode(), value.encode()) for name, value in headers.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, with the headers added; or answer 429."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *self._headers]
            await send(message)

        if self.refused(scope):
            response = await answer_broken(Request(scope), ApiError(429, "too_many", "too many requests"))
            await response(scope, receive, guarded)
        else:
            await self._app(scope, receive, guarded)

    def refused(self, scope: Scope) -> bool:
        """Whether this is a GET on a token's page by a client past the ceiling. A POST is always heard."""
        if not self._misses or scope["method"] not in {"GET", "HEAD"} or not scope["path"].startswith(_GUESSED):
            return False
        forwarded = b",".join(value for name, value in scope["headers"] if name == b"x-forwarded-for")
        peer = scope["client"][0] if scope.get("client") else ""
        return not self._misses.below(household(client_of(peer, forwarded.decode("latin-1"), self._trusted)))
