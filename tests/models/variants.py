"""Broken variants: each drops one rule, and the search must find what falls.

Eleven are no inventions: there the code stood when the model was first searched (tests/services/test_law_gaps.py).
"""

from dataclasses import dataclass
from typing import Final

_LATE: Final = "DATA began after applied, and the receipt does not list it"
_TWICE: Final = "a second DATA for a mail that the relay has, without a doubt in between"
_CAUSE: Final = "in doubt without a cause"
_FAILED: Final = "failed, but a body went out"
_LOST: Final = "nobody comes for the job, and it is "


@dataclass(frozen=True, slots=True)
class Variant:
    """What is done instead of the rule, the configuration that shows it, and the property that falls first.

    `name` may join several rules by "+" where one covers for the other.
    """

    name: str
    setup: str
    falls: str
    meaning: str


VARIANTS: Final = (
    Variant("read_gate", "never twice", _LATE, "the gate reads the person and writes nothing"),
    Variant("no_verify", "never twice", _FAILED, "after the gate nobody looks at the message"),
    Variant("no_handed", "never twice", _FAILED, "the claim does not look for an earlier open hand-over"),
    # With the claim's own look the gate's condition is the second of two: alone it may be dropped, and all holds.
    Variant("many_open+no_handed", "never twice", _FAILED, "neither the claim nor the gate minds an open hand-over"),
    Variant("settle_by_epoch", "never twice", _LOST + "claimed", "sent only counts for the latest epoch"),
    Variant("pull_first", "never twice", _FAILED, "a 250 pulls, then settles"),
    Variant("reap_pulls", "never twice", _LATE, "the reaper pulls"),
    Variant("no_drain", "never twice", _LATE, "applied without looking at what is under way"),
    Variant("resolve_pulls", "never twice", _LATE, "assumed pulls instead of moving to stale"),
    Variant("lost_is_certain", "never twice", _FAILED, "a silence after the body counts as a 4xx"),
    Variant("refuse_after_doubt", "once more, and a no", "refused, but a body went out", "a doubt may end as a no"),
    Variant("once_more_keeps_open", "once more, and refusals", "", "once more leaves the hand-over open"),
    Variant("once_more_pulls", "once more, and a no", _LATE, "once more pulls instead of moving to stale"),
    Variant("once_more_twice", "once more, and refusals", _LOST + "deferred", "once more is not once"),
    Variant("ended_pulls_latest", "once more, and a no", _LATE, "a redelivery after the end pulls the latest epoch"),
    Variant("grant_ignores_time", "grants", "a gate passed after the no", "a yes counts whenever it was said"),
    Variant("unknown_is_yes", "unknown outcomes", _LATE, "an unknown outcome of the gate is a yes"),
    Variant("unknown_is_no", "unknown outcomes", _CAUSE, "an unknown outcome is a no, and nothing is given back"),
    Variant("deferred_keeps", "three epochs", _CAUSE, "a 4xx leaves the hand-over open"),
    Variant("keeps_late", "three epochs", _CAUSE, "a gate that was passed too late is not given back"),
    Variant("replay_skips_claim", "replay", _CAUSE, "a replayed job is taken whatever its message says"),
    Variant("reopen_after_doubt", "reopened", _TWICE, "a mail in doubt is reopened like a refused one"),
    Variant("gate_keeps_seq", "two mails", _LATE, "the gate does not raise seq"),
    Variant("group_answers_for_all", "two mails", _LATE, "one member's success counts for its whole group"),
    # Found by the model in the code, and closed.
    Variant(
        "aside_any_epoch",
        "once more",
        "three bodies",
        "to stale goes whatever is open by then, not what was in doubt",
    ),
    Variant(
        "unheard_ends_doubt",
        "once more, and refusals",
        _FAILED,
        "an end without a relay's answer to DATA ends the doubt that bears its epoch",
    ),
    Variant(
        "proof_pulls_latest",
        "proof",
        _LATE,
        "a redelivery after proof pulls the latest epoch, for proof names none",
    ),
    Variant(
        "proof_clears_all",
        "proof",
        _LATE,
        "proof of one attempt clears the hand-overs of all",
    ),
    Variant(
        "epoch_before_read_back",
        "unknown outcomes",
        _TWICE,
        "the message is read before the hand-over is seen",
    ),
    Variant(
        "buried_in_data",
        "dead",
        "dead, but a body went out",
        "a dead letter does not look for an open hand-over",
    ),
    Variant(
        "acks_unmatched",
        "never twice",
        _LOST + "claimed",
        "an end that matched no document is acked all the same",
    ),
    Variant(
        "late_deferred",
        "never twice",
        _LOST + "deferred",
        "a 4xx ends its doubt as deferred, though the job may be acked by then",
    ),
    Variant(
        "trusts_old_doubt",
        "once more, and refusals",
        _LOST + "deferred",
        "who comes second with once more acks by the answer it had before",
    ),
    Variant(
        "no_late_end",
        "expiry",
        _LOST + "deferred",
        "nobody ends a mail that has expired and whose job is gone",
    ),
    Variant(
        "no_sweep",
        "expiry",
        "at rest a hand-over is open, and the mail is sent",
        "nobody looks for open hand-overs of mails that are over",
    ),
)
