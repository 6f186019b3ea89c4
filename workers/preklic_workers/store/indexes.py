"""The indexes, each by the name that says what asks for it."""

from dataclasses import dataclass, field
from typing import Any, Final

KEEP_SECONDS: Final = 395 * 24 * 3600  # claims and events are kept 13 months, longer than log and dead letters

STATISTICS_SECONDS: Final = 1825 * 24 * 3600  # the registry says so of the purpose `statistics`


@dataclass(frozen=True, slots=True)
class Index:
    """An index, by the name that says what asks for it."""

    name: str
    keys: tuple[tuple[str, int], ...]
    options: dict[str, Any] = field(default_factory=dict)


_STUCK: Final = {"partialFilterExpression": {"state": {"$in": ["claimed", "in_doubt", "deferred", "dead"]}}}
_OF_CAMPAIGN: Final = {"partialFilterExpression": {"campaign": {"$exists": True}}}
_COUNTED: Final = ("campaign", "kind", "variant", "state", "reason")
_ERASED: Final = {"partialFilterExpression": {"suppressed.erased": {"$exists": True}}}
_TIMED: Final = {"partialFilterExpression": {"state": "scheduled"}}
_LATER: Final = {"partialFilterExpression": {"send_at": {"$exists": True}}}
_DOUBT: Final = {"partialFilterExpression": {"state": {"$in": ["in_doubt", "asked"]}}}
_RIDING: Final = Index("riding", (("leaves.at", 1),), {"sparse": True})
_ASKED: Final = ("reason", "purpose", "template", "campaign", "queue", "code", "exception", "attempts", "first")
_SIFTED: Final = tuple((name, 1) for name in _ASKED)
INDEXES: Final[dict[str, tuple[Index, ...]]] = {
    "persons": (
        Index("pid", (("pid", 1),), {"unique": True}),
        Index("lookup", (("lookup", 1),), {"unique": True, "sparse": True}),
        Index("ref", (("ref_hash", 1),), {"sparse": True}),
        Index("holds", (("holds.until", 1),), {"sparse": True}),
        Index("waiting", (("waiting.at", 1),), {"sparse": True}),
        Index("untold", (("untold", 1),), {"sparse": True}),
        # Who of many was erased: nobody else's document is read.
        Index("erased", (("_id", 1), ("suppressed.erased", 1)), _ERASED),
        Index("provider", (("provider", 1),), {"sparse": True}),
        Index("statistics_no", (("permissions.statistics.state", 1),), {"sparse": True}),
    ),
    "controls": (_RIDING,),
    "standing": (_RIDING,),
    "batches": (Index("keep", (("keep", 1),), {"expireAfterSeconds": 0}), _RIDING),
    "messages": (
        Index("stuck", (("state", 1), ("lease", 1)), _STUCK),
        Index("timed", (("state", 1), ("lease", 1)), _TIMED),
        Index("timed_person", (("person", 1),), _LATER),
        Index("doubt", (("state", 1), ("at", 1)), _DOUBT),
        Index("retried", (("at", 1),), {"partialFilterExpression": {"epoch": {"$gte": 2}}}),
        Index("age", (("created", 1),), {"expireAfterSeconds": KEEP_SECONDS}),
        # All that `campaign status` counts by is in it: no mail is read for it. It finds what was asked of one, too.
        Index("campaign_counts", tuple((name, 1) for name in _COUNTED), _OF_CAMPAIGN),
        Index("cap", (("person", 1), ("created", 1)), _OF_CAMPAIGN),
        _RIDING,
    ),
    "accounts": (
        Index("unsettled", (("settled", 1), ("at", 1))),
        Index("age", (("hour", 1),), {"expireAfterSeconds": KEEP_SECONDS}),
    ),
    "withdrawals": (
        Index("person", (("person", 1),)),
        Index("erased", (("erased.person", 1),), {"sparse": True}),
        Index("accepted", (("accepted", 1),)),
        _RIDING,
    ),
    "statistics": (Index("age", (("day", 1),), {"expireAfterSeconds": STATISTICS_SECONDS}),),
    # As long as the claim of their mail: afterwards nothing says what they were about.
    "events": (
        Index("age", (("recorded", 1),), {"expireAfterSeconds": KEEP_SECONDS}),
        Index("person", (("person", 1),)),  # an erasure deletes them
        Index("complaints", (("recorded", 1),), {"partialFilterExpression": {"kind": "complained"}}),
    ),
    "permissions": (Index("person", (("person", 1), ("at", 1))), _RIDING),
    "marks": (
        Index("left", (("seen", 1),), {"expireAfterSeconds": 86_400, "partialFilterExpression": {"left": True}}),
    ),
    "schedule": (Index("due_of", (("campaign", 1), ("at", 1))), Index("person", (("person", 1),))),
    "leases": (Index("age", (("at", 1),), {"expireAfterSeconds": 172_800}),),
    "holders": (Index("age", (("seen", 1),), {"expireAfterSeconds": 86_400}),),
    "acts": (
        Index("person", (("person", 1), ("at", 1)), {"sparse": True}),
        Index("kind", (("kind", 1), ("at", 1))),
        Index("job", (("facts.job", 1),), {"sparse": True}),  # who asks why a job ended as it did
        Index("keep", (("keep", 1),), {"expireAfterSeconds": 0}),
        _RIDING,
    ),
    "ledger": (Index("person", (("persons", 1),)),),
    "plans": (Index("age", (("made", 1),), {"expireAfterSeconds": KEEP_SECONDS}),),
    # One token is one operator's; and two who are named at once cannot both be the first.
    "operators": (
        Index("token", (("token", 1),), {"unique": True}),
        Index("first", (("first", 1),), {"unique": True, "sparse": True}),
    ),
    "requests": (Index("kind", (("kind", 1), ("at", 1))),),
    "held_mails": (Index("hold", (("hold", 1),)), Index("person", (("person", 1),))),
    "copies": (Index("person", (("person", 1),)), _RIDING),
    # A webhook that is neither taken nor dead after its 14 days was thrown away with its queue.
    "webhook_failures": (
        Index("endpoint", (("endpoint", 1),)),
        Index("age", (("last", 1),), {"expireAfterSeconds": 15 * 86_400}),
    ),
    "dead": (
        # Newest first, page by page, sifted before a letter is read; and grouped without reading one.
        Index("sifted", (("state", 1), ("last", -1), ("_id", -1), ("fingerprint", 1), *_SIFTED)),
        Index("queue", (("state", 1), ("queue", 1), ("last", -1), ("_id", -1))),
        Index("causes", (("state", 1), ("fingerprint", 1), ("last", -1), ("_id", -1), *_SIFTED)),
        Index("job", (("job", 1),), {"sparse": True}),
        Index("person", (("person", 1),), {"sparse": True}),
    ),
}
# Of the wrapped keys: which of a group are of which epoch, for its turn; what holds keep; what waits for them.
KEY_INDEXES: Final = (
    Index("epoch", (("_id.g", 1), ("epoch", 1))),
    Index("held", (("held", 1),), {"sparse": True}),
    Index("aside", (("aside", 1),), {"sparse": True}),
)
