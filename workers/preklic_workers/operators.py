"""Operators by name: what a token of theirs allows, until when, and why something is refused. Pure."""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

Scope = Literal["read", "replay", "stop", "law"]
SCOPES: Final[tuple[Scope, ...]] = ("read", "replay", "stop", "law")
Refusal = Literal["no_token", "unknown", "removed", "expired", "no_scope"]
State = Literal["good", "removed", "expired"]


@dataclass(frozen=True, slots=True)
class Operator:
    """A person who runs commands: `by` added the name at `added`, until `until` (None: without an end)."""

    name: str
    scopes: tuple[Scope, ...]
    added: dt.datetime
    by: str
    until: dt.datetime | None = None
    removed: dt.datetime | None = None

    def state(self, now: dt.datetime) -> State:
        """Whether the token is good at that moment."""
        if self.removed is not None:
            return "removed"
        return "expired" if self.until is not None and self.until <= now else "good"


def refusal(found: Operator | None, scope: Scope | None, now: dt.datetime, *, borne: bool) -> Refusal | None:
    """Why a command that needs `scope` may not run (None: it may). `found`: whose token it bears, if it is `borne`.

    Asked as soon as one operator is named, or a token is borne. A scope of None asks for a good token alone.
    """
    if not borne:
        return "no_token"
    if found is None:
        return "unknown"
    state = found.state(now)
    if state != "good":
        return state
    return None if scope is None or scope in found.scopes else "no_scope"


def keeps_law(operators: Iterable[Operator]) -> bool:
    """Whether one of these may name operators for ever: without one, nobody could be added or removed any more."""
    return any("law" in one.scopes and one.until is None and one.removed is None for one in operators)
