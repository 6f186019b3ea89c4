"""Bearer tokens of the API (RFC 6750): known by their SHA-256 alone, each with its scopes.

A partner's token has the one scope `partner:<template>`: the counts of that campaign, and nothing else (U4).
"""

import hmac
from collections.abc import Collection, Sequence
from typing import Final

from starlette.requests import Request

from preklic_producers.gateway.errors import ApiError
from preklic_shared.bearers import bearer_hash
from preklic_shared.settings import ApiToken, SettingsError

SCOPES: Final = ("messages", "consents", "profiles", "events", "customers", "status", "campaigns")
PARTNER: Final = "partner:"


class Bearers:
    """The tokens that this gateway accepts."""

    def __init__(self, tokens: Sequence[ApiToken], campaigns: Collection[str] = ()) -> None:
        """SettingsError when a scope is unknown. `campaigns`: the templates of partners' mail."""
        for token in tokens:
            check_scopes(token, campaigns)
        self._tokens = {token.hash: token for token in tokens}

    def admit(self, request: Request, scope: str) -> str:
        """The name of the token that a request bears. Raises ApiError: 401, or 403 without the scope."""
        token = self._borne(request)
        if not covers(token, scope):
            raise ApiError(403, "forbidden", f"the token lacks the scope {scope}")
        return token.name

    def admit_partner(self, request: Request) -> tuple[str, str]:
        """The name and the campaign of a partner's token. Raises ApiError: 401, or 403 for any other token."""
        token = self._borne(request)
        campaign = next((scope.removeprefix(PARTNER) for scope in token.scopes if scope.startswith(PARTNER)), None)
        if campaign is None:
            raise ApiError(403, "forbidden", "the token is no partner's")
        return token.name, campaign

    def _borne(self, request: Request) -> ApiToken:
        kind, _, secret = request.headers.get("authorization", "").partition(" ")
        token = self.known(secret.strip()) if kind.lower() == "bearer" else None
        if token is None:
            raise ApiError(401, "unauthorized", "a bearer token of this gateway is needed")
        return token

    def known(self, secret: str) -> ApiToken | None:
        """The token of this secret. The look-up is by hash: what a timing could tell is useless to a guesser."""
        digest = bearer_hash(secret)
        token = self._tokens.get(digest)
        return token if token is not None and hmac.compare_digest(token.hash, digest) else None


def covers(token: ApiToken, scope: str) -> bool:
    """Whether the token may do what needs this scope."""
    return scope in token.scopes


def check_scopes(token: ApiToken, campaigns: Collection[str]) -> None:
    """Refuse a token with an unknown scope, and a partner's with more than its one campaign."""
    partners = [scope for scope in token.scopes if scope.startswith(PARTNER)]
    if set(token.scopes) - set(SCOPES) - {PARTNER + campaign for campaign in campaigns}:
        known = (*SCOPES, *(PARTNER + campaign for campaign in sorted(campaigns)))
        raise SettingsError("TOKENS", f"the token {token.name} has an unknown scope; there are {known}")
    if partners and len(token.scopes) > 1:
        raise SettingsError("TOKENS", f"the token {token.name} is a partner's: it has that one scope and no other")
