"""Errors as the API tells them: `{"message", "code", "field"}`, never a value of the request."""

from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from preklic_producers.courier import Unavailable
from preklic_producers.fields import Rejected

# Seconds: a limit counts whole minutes, a service may be back at any moment.
_AFTER: Final = {429: "60", 503: "5"}


class ApiError(Exception):
    """An answer with this HTTP status, code and message; `field` where one is at fault."""

    def __init__(self, status: int, code: str, message: str, field: str | None = None) -> None:
        super().__init__(code)
        self.status, self.code, self.message, self.field = status, code, message, field


def as_api_error(error: Rejected | Unavailable) -> ApiError:
    """How the API says what a producer would raise."""
    if isinstance(error, Unavailable):
        return ApiError(503, "unavailable", "the job could not be taken; try again with the same Idempotency-Key")
    if error.field == "sealing_keys":
        return ApiError(503, "sealing_keys", "the gateway's sealing keys have expired")
    return ApiError(422, "rejected", error.message, error.field)


async def answer_error(_request: Request, error: Exception) -> Response:
    """The JSON answer to an error; what is unexpected says nothing about itself."""
    if isinstance(error, Rejected | Unavailable):
        error = as_api_error(error)
    if not isinstance(error, ApiError):
        error = ApiError(500, "internal", "something went wrong here")
    body = {"message": error.message, "code": error.code, "field": error.field}
    headers = {"Retry-After": _AFTER[error.status]} if error.status in _AFTER else None
    return JSONResponse(body, status_code=error.status, headers=headers)


async def answer_missing(_request: Request, _error: Exception) -> Response:
    """404 in the same form."""
    body = {"message": "there is nothing here", "code": "not_found", "field": None}
    return JSONResponse(body, status_code=404)


async def answer_method(_request: Request, error: Exception) -> Response:
    """405 in the same form."""
    body = {"message": "this method does nothing here", "code": "method_not_allowed", "field": None}
    return JSONResponse(body, status_code=405, headers=getattr(error, "headers", None))
