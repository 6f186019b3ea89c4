"""Bearer tokens: made here, given to one holder, and kept as their SHA-256 alone.

A token is 32 random bytes (RFC 4648, base64url): too many to guess, so a plain hash without salt tells nothing of it.
"""

import hashlib
import secrets


def new_bearer() -> str:
    """A new token, 43 characters."""
    return secrets.token_urlsafe(32)


def bearer_hash(token: str) -> str:
    """What is kept of a token: the SHA-256 of its octets, whatever they are, as 64 hex digits.

    >>> bearer_hash("a")[:8]
    'ca978112'
    """
    return hashlib.sha256(token.encode(errors="surrogateescape")).hexdigest()
