"""Errors as a person's browser shows them: a page of ours. A program gets JSON (`errors`)."""

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from preklic_producers.gateway import errors, pages
from preklic_producers.gateway.spoken import face

Handler = Callable[[Request, Exception], Awaitable[Response]]


def wants_page(request: Request) -> bool:
    """Whether a browser asks, and not for the API (RFC 9110, section 12.5.1)."""
    return "text/html" in request.headers.get("accept", "") and not request.url.path.startswith("/v1/")


def shown(handler: Handler, title: str, text: str) -> Handler:
    """The handler's answer, as a page of these two texts where a browser asks; status and headers stay."""

    async def answer(request: Request, error: Exception) -> Response:
        told = await handler(request, error)
        if not wants_page(request):
            return told
        kept = {name: told.headers[name] for name in ("allow", "retry-after") if name in told.headers}
        return HTMLResponse(pages.notice(face(request), title, text), status_code=told.status_code, headers=kept)

    return answer


answer_missing = shown(errors.answer_missing, "missing_title", "missing")
answer_method = shown(errors.answer_method, "bad_title", "bad")
answer_error = shown(errors.answer_error, "bad_title", "bad")
answer_broken = shown(errors.answer_error, "busy_title", "busy")
