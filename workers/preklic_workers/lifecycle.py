"""The states of a mail and of the other jobs, as a table of allowed moves. Each odd edge carries its reason."""

from collections.abc import Mapping
from typing import Final

# A job that nobody claimed yet has no document; its state is "waiting".
WAITING: Final = "waiting"

# (from, to) -> why, where it is not plain.
MOVES: Final[Mapping[tuple[str, str], str]] = {
    ("waiting", "claimed"): "",
    ("waiting", "scheduled"): "its `send_at` has not come: a row of `schedule` holds the job",
    ("scheduled", "claimed"): "its time has come",
    ("scheduled", "cancelled"): "a withdrawal, an erasure or a person, before it was claimed",
    ("scheduled", "expired"): "nobody brought it back in time",
    ("scheduled", "dead"): "",
    ("waiting", "refused"): "",
    ("waiting", "expired"): "",
    ("waiting", "cancelled"): "",
    ("waiting", "dead"): "",
    ("waiting", "applied"): "a job of another kind takes effect in one step",
    ("claimed", "claimed"): "a new epoch: the lease ran out",
    ("claimed", "deferred"): "a 4xx, or a service away: the job is in a tier",
    ("deferred", "claimed"): "",
    ("claimed", "sent"): "",
    ("claimed", "bounced"): "the relay refused the person at once, for ever",
    ("claimed", "failed"): "the relay refused the mail, or patience ended",
    ("claimed", "refused"): "",
    ("claimed", "expired"): "",
    ("claimed", "cancelled"): "",
    ("claimed", "dead"): "",
    ("claimed", "in_doubt"): "the conversation broke off after the body, or its worker died with a hand-over open",
    ("in_doubt", "deferred"): "once more: the purpose says that a mail may repeat rather than be lost",
    ("in_doubt", "sent"): "late evidence: a relay's log, a click, or the worker that was thought dead settles",
    ("in_doubt", "bounced"): "late evidence: a DSN names the person",
    ("in_doubt", "failed"): "late evidence: the relay's log shows the refusal",
    ("in_doubt", "complained"): "late evidence: a complaint proves that it arrived",
    ("in_doubt", "assumed"): "the purpose says never again, and nobody will learn more",
    ("in_doubt", "asked"): "the relay's time to answer is over, and the purpose leaves it to a person",
    ("asked", "sent"): "late evidence, or the person's own",
    ("asked", "bounced"): "late evidence: a DSN names the person",
    ("asked", "complained"): "late evidence: a complaint proves that it arrived",
    ("asked", "failed"): "the worker that was thought dead has the relay's refusal, or a 4xx that nobody can follow",
    ("asked", "assumed"): "the person lets it rest: nobody will learn more",
    ("deferred", "sent"): "late evidence about the first hand-over, before the second one",
    ("deferred", "bounced"): "likewise",
    ("deferred", "complained"): "likewise",
    ("assumed", "sent"): "late evidence outlives the assumption",
    ("assumed", "bounced"): "late evidence outlives the assumption",
    ("assumed", "complained"): "late evidence outlives the assumption",
    ("sent", "bounced"): "a DSN after the relay's 250",
    ("sent", "complained"): "",
    ("bounced", "complained"): "some hosts bounce and complain about the same mail",
    ("dead", "claimed"): "a replay plan: judged again by today's permissions",
    ("dead", "scheduled"): "a replay plan, before its time",
    ("dead", "discarded"): "a person looked and let it go",
    ("dead", "applied"): "a replay plan of a job of another kind",
    ("discarded", "dead"): "undiscard",
}
STATES: Final = frozenset(state for move in MOVES for state in move)

# Nothing more happens by itself. Feedback may still come, and a replay plan may start some of them again.
ENDED: Final = frozenset(
    {
        "sent",
        "bounced",
        "complained",
        "failed",
        "refused",
        "expired",
        "cancelled",
        "assumed",
        "dead",
        "discarded",
        "applied",
    }
)
# Counted as one of the ends in the account, though evidence or a person may still resolve it (law 3).
ACCOUNTED: Final = ENDED | {"in_doubt", "asked"}
# A mail that was once in doubt may have arrived: these would claim that it did not (law 1e).
NOT_AFTER_DOUBT: Final = frozenset({"refused", "expired", "cancelled"})
# From these a relay has, or may have, the mail: no replay sends it again (law 2).
POSSIBLY_SENT: Final = frozenset({"sent", "bounced", "complained", "in_doubt", "asked", "assumed"})


def may_move(old: str, new: str, *, doubted: bool = False) -> bool:
    """Whether a job may go from `old` to `new`; `doubted` when it was ever in doubt, which it then returns to.

    >>> may_move("claimed", "refused"), may_move("claimed", "refused", doubted=True)
    (True, False)
    """
    return (old, new) in MOVES and not (doubted and new in NOT_AFTER_DOUBT)


def settle_as(new: str, *, doubted: bool) -> str:
    """The state to record for an end: a mail once in doubt goes back to `in_doubt` instead of a plain no."""
    return "in_doubt" if doubted and new in NOT_AFTER_DOUBT else new


def sources(new: str) -> frozenset[str]:
    """Every state from which `new` may be reached: the filter of a compare-and-set."""
    return frozenset(old for old, target in MOVES if target == new)
