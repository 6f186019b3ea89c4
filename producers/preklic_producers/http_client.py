"""The two questions a website asks the gateway over HTTP, with nothing but the standard library."""

import json
from http.client import HTTPException, HTTPResponse
from typing import Any, Final, NoReturn
from urllib.error import HTTPError, URLError
from urllib.parse import quote
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

from preklic_producers.courier import Unavailable
from preklic_producers.fields import Rejected

_ANSWER_LIMIT: Final = 64 * 1024
_UNPROCESSABLE: Final = (400, 404, 422)


class _NoRedirect(HTTPRedirectHandler):
    """The bearer token goes to the gateway that was configured, and nowhere else."""

    def redirect_request(self, *_args: Any, **_keywords: Any) -> None:
        return None


class GatewayClient:
    """Asks the gateway at `url` with a bearer token; each answer within `timeout` seconds. Safe in threads."""

    def __init__(self, url: str, token: str | None, *, timeout: float = 3.0) -> None:
        self._url = url.rstrip("/")
        self._token = token
        self._timeout = timeout
        self._opener = build_opener(_NoRedirect, ProxyHandler({}))

    def get(self, path: str, last: str) -> dict[str, Any]:
        """The `data` of GET `path`/`last`; Unavailable or Rejected."""
        return self._ask(Request(f"{self._url}{path}/{quote(last, safe='')}"))  # noqa: S310 -- configured, http(s)

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """The `data` of POST `path`; Unavailable or Rejected."""
        request = Request(f"{self._url}{path}", data=json.dumps(body).encode())  # noqa: S310 -- likewise
        request.add_header("Content-Type", "application/json")
        return self._ask(request)

    def _ask(self, request: Request) -> dict[str, Any]:
        if self._token is None:
            raise Rejected("gateway_token", "is not set: PREKLIC_GATEWAY_TOKEN or PREKLIC_TOKEN_FILE")
        request.add_header("Authorization", f"Bearer {self._token}")
        try:
            with self._opener.open(request, timeout=self._timeout) as response:
                return _data(response)
        except HTTPError as error:
            _refuse(error)
        except (URLError, HTTPException, OSError, ValueError) as error:
            raise Unavailable(f"the gateway did not answer ({type(error).__name__})") from error


def _data(response: HTTPResponse) -> dict[str, Any]:
    match json.loads(response.read(_ANSWER_LIMIT)):
        case {"data": dict() as data}:
            return data
    raise ValueError("not an answer of the gateway")


def _refuse(error: HTTPError) -> NoReturn:
    with error:
        if error.code not in _UNPROCESSABLE:
            raise Unavailable(f"the gateway answered {error.code}") from error
        try:
            body = json.loads(error.read(_ANSWER_LIMIT))
            field, message = str(body.get("field") or "request"), str(body["message"])
        except (ValueError, KeyError, AttributeError):
            field, message = "request", f"the gateway answered {error.code}"
    raise Rejected(field, message) from None
