"""The configurations that are searched: each takes a few features together, within bounds that keep it small.

Where there are no deaths, a worker that loses its channel and is never scheduled again stands for a dead one.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from models.protocol import Setup


@dataclass(frozen=True, slots=True)
class Searched:
    """A configuration and what it must reach."""

    setup: Setup
    goals: tuple[str, ...]


_SEARCHED = (
    Searched(
        Setup("never twice", epochs=2, refusals=True, withdrawal=True),
        ("sent", "refused", "failed", "in doubt", "assumed", "applied", "applied and lists", "sent after a 4xx"),
    ),
    Searched(Setup("three epochs", refusals=True, deaths=False), ("sent", "failed", "in doubt", "assumed")),
    Searched(Setup("once more", once=True, deaths=False), ("sent", "in doubt", "a second body")),
    Searched(
        Setup("once more, and a no", epochs=2, once=True, withdrawal=True),
        ("sent", "refused", "a second body", "applied and lists"),
    ),
    Searched(Setup("once more, and refusals", epochs=2, once=True, refusals=True), ("failed", "a second body")),
    Searched(
        Setup("grants", epochs=2, withdrawal=True, grants=True, deaths=False),
        ("sent", "refused", "applied", "a yes after the no, and sent"),
    ),
    Searched(
        Setup("unknown outcomes", epochs=2, unsure=True, withdrawal=True, deaths=False),
        ("sent", "refused", "in doubt", "applied and lists"),
    ),
    Searched(Setup("reopened", epochs=2, refusals=True, reopens=True, deaths=False), ("sent", "failed", "in doubt")),
    Searched(Setup("dead", epochs=2, dead=True, refusals=True), ("sent", "failed", "dead, replayed, sent")),
    Searched(Setup("replay", epochs=2, copies=2, replay=True, reopens=True, deaths=False), ("sent", "in doubt")),
    Searched(
        Setup("proof", epochs=2, once=True, proof=True, replay=True, withdrawal=True, deaths=False, channels=False),
        ("sent", "a second body", "applied and lists"),
    ),
    Searched(Setup("expiry", epochs=2, once=True, expiry=True), ("sent", "expired", "a second body")),
    Searched(
        Setup("two mails", mails=2, epochs=1, withdrawal=True, deaths=False, channels=False),
        ("both sent", "refused", "assumed", "applied and lists"),
    ),
)
SETUPS: Mapping[str, Searched] = {each.setup.name: each for each in _SEARCHED}
