"""Bearer tokens of the intake API (RFC 6750): known by their SHA-256 alone, each with its scopes."""

import hashlib
import hmac
from collections.abc import Sequence
from typing import Final

from starlette.requests import Request

from preklic_producers.gateway.errors import ApiError
from preklic_shared.settings import ApiToken, SettingsError

SCOPES: Final = ("messages", "consents", "profiles", "events", "customers", "status")


class Bearers:
    """The tokens that this gateway accepts."""

    def __init__(self, tokens: Sequence[ApiToken]) -> None:
        """SettingsError when a scope is unknown."""
        for token in tokens:
            unknown = set(token.scopes) - set(SCOPES)
            if unknown:
                raise SettingsError("TOKENS", f"the token {token.name} has an unknown scope; there are {SCOPES}")
        self._tokens = {token.hash: token for token in tokens}

    def admit(self, request: Request, scope: str) -> str:
        """The name of the token that a request bears. Raises ApiError: 401, or 403 without the scope."""
        kind, _, secret = request.headers.get("authorization", "").partition(" ")
        token = self.known(secret.strip()) if kind.lower() == "bearer" else None
        if token is None:
            raise ApiError(401, "unauthorized", "a bearer token of this gateway is needed")
        if scope not in token.scopes:
            raise ApiError(403, "forbidden", f"the token lacks the scope {scope}")
        return token.name

    def known(self, secret: str) -> ApiToken | None:
        """The token of this secret. The look-up is by hash: what a timing could tell is useless to a guesser."""
        digest = hashlib.sha256(secret.encode()).hexdigest()
        token = self._tokens.get(digest)
        return token if token is not None and hmac.compare_digest(token.hash, digest) else None
