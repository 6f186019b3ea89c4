"""Redirects to partners (clause U4): signed like every click token, and of no mail and no person."""

from typing import Final

from preklic_shared.tokens import PID_BYTES, Click

NOBODY: Final = "00000000-0000-0000-0000-000000000000"


def redirect_to(url: str) -> Click:
    """A link that says where it leads and not who was sent it: the same for everybody, and nothing is recorded."""
    return Click(NOBODY, bytes(PID_BYTES), 0, url)


def of_somebody(token: Click) -> bool:
    """Whether a click on it is an event of somebody's mail."""
    return token.message != NOBODY
