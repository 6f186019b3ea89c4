"""What MongoDB itself refuses: unknown fields, plaintext where a ciphertext belongs; and the indexes. Idempotent."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from preklic_workers.envelope import GROUPS
from preklic_workers.lifecycle import STATES
from preklic_workers.store.mongo import Doc, Mongo

KEEP_SECONDS: Final = 395 * 24 * 3600  # claims and events are kept 13 months, longer than log and dead letters
NAMED: Final = 1000  # jobs that an hour's account names; the rest is counted

_TEXT: Final[Doc] = {"bsonType": "string", "maxLength": 1000}
_WORD: Final[Doc] = {"bsonType": "string", "pattern": "^[A-Za-z0-9_.:@ -]{0,200}$"}
_DATE: Final[Doc] = {"bsonType": "date"}
_BYTES: Final[Doc] = {"bsonType": "binData"}
_WHOLE: Final[Doc] = {"bsonType": ["int", "long"], "minimum": 0}
_YES: Final[Doc] = {"bsonType": "bool"}
_HASH: Final[Doc] = {"bsonType": "string", "pattern": "^[A-Za-z0-9_-]{43}$"}
_JOB: Final[Doc] = {"bsonType": "string", "pattern": "^[0-9a-f-]{36}$"}
_PURPOSE: Final[Doc] = {"bsonType": "string", "pattern": "^[a-z][a-z0-9_.]{0,63}$"}


def _object(required: Sequence[str], **fields: Doc) -> Doc:
    needed: Doc = {"required": list(required)} if required else {}  # MongoDB refuses an empty list
    return {"bsonType": "object", "additionalProperties": False, "properties": fields} | needed


def _list(items: Doc, most: int) -> Doc:
    return {"bsonType": "array", "items": items, "maxItems": most}


_CAPTURED: Final = _object(["message", "epoch"], message=_JOB, epoch=_WHOLE)
_HAND_OVER: Final = _object(
    ["message", "epoch", "purpose", "until", "seq"],
    message=_JOB,
    epoch=_WHOLE,
    purpose=_PURPOSE,
    until=_DATE,
    seq=_WHOLE,
)
_STATE: Final[Doc] = {"enum": ["granted", "pending", "withdrawn", "objected"]}
_SAID: Final = _object(
    ["state", "at", "job", "seq"],
    state=_STATE, at=_DATE, job=_JOB, seq=_WHOLE, withdrawn=_DATE, token=_DATE, source=_TEXT,
)  # fmt: skip

_ENDED: Final = _object(
    ["job", "purposes", "at", "seq", "captured"],
    job=_JOB,
    purposes=_list(_PURPOSE, 64),
    at=_DATE,
    seq=_WHOLE,
    captured=_list(_CAPTURED, 2000),
)
PERSON: Final = _object(
    ["_id", "pid", "seq", "permissions", "suppressed", "erased", "open", "stale", "withdrawals"],
    _id=_HASH,
    pid=_BYTES,
    lookup=_HASH,
    provider={"bsonType": "string", "pattern": "^[a-z]{1,20}$"},
    seq=_WHOLE,
    contact=_BYTES,
    ref_hash=_HASH,
    fields=_object([], **dict.fromkeys(GROUPS, _BYTES)),
    permissions={
        "bsonType": "object",
        "patternProperties": {"^[a-z][a-z0-9_:]{0,63}$": _SAID},
        "additionalProperties": False,
    },
    suppressed=_object([], bounce=_DATE, complaint=_DATE, erased=_DATE),
    no_at=_DATE,
    erased=_YES,
    open=_list(_HAND_OVER, 1000),
    stale=_list(_HAND_OVER, 1000),
    withdrawals=_list(_ENDED, 20),
)
_REPLY: Final = _object([], code=_WHOLE, enhanced=_WORD)
MESSAGE: Final = _object(
    ["_id", "kind", "state", "producer", "created", "expires", "at"],
    _id=_JOB,
    kind={"enum": ["send", "track", "revoke", "grant", "enrich", "ask"]},
    state={"enum": sorted(STATES | {"deferred"})},
    epoch=_WHOLE,
    lease=_DATE,
    purpose=_PURPOSE,
    template=_WORD,
    person=_HASH,
    producer=_WORD,
    body_hash=_BYTES,
    by=_BYTES,
    reason=_WORD,
    relay=_WORD,
    processor=_TEXT,
    reply=_REPLY,
    created=_DATE,
    expires=_DATE,
    at=_DATE,
    sent_at=_DATE,
    doubted=_YES,
    again=_YES,
    ended=_WHOLE,
    history=_list(
        _object(["at", "state", "epoch"], at=_DATE, state=_WORD, epoch=_WHOLE, reason=_WORD, by=_TEXT, why=_TEXT), 20
    ),
)
WITHDRAWAL: Final = _object(
    ["_id", "person", "purposes", "reason", "seq", "accepted", "closed"],
    _id=_JOB, person=_HASH, purposes=_list(_PURPOSE, 64), reason=_TEXT, seq=_WHOLE, accepted=_DATE, closed=_DATE,
    applied=_DATE, waited=_list(_CAPTURED, 2000), listed=_list(_CAPTURED, 2000),
)  # fmt: skip
EVENT: Final = _object(
    ["_id", "message", "person", "kind", "verdict", "at", "rules", "recorded"],
    _id=_TEXT, message=_JOB, person=_TEXT, kind=_WORD, link=_WHOLE, verdict=_WORD, at=_DATE, rules=_WHOLE,
    recorded=_DATE,
)  # fmt: skip
PERMISSION: Final = _object(
    ["_id", "person", "purpose", "action", "at", "proof", "recorded"],
    _id=_TEXT, person=_HASH, purpose=_PURPOSE, action=_WORD, at=_DATE, proof=_BYTES, recorded=_DATE,
)  # fmt: skip
DEAD: Final = _object(
    ["_id", "queue", "reason", "fingerprint", "attempts", "first", "last", "body", "state"],
    _id=_TEXT, job=_WORD, queue=_WORD, actor=_WORD, reason=_TEXT, fingerprint=_WORD, attempts=_WHOLE, first=_DATE,
    last=_DATE, body=_BYTES, field=_TEXT, state={"enum": ["dead", "replayed", "discarded"]}, why=_TEXT, moved=_DATE,
)  # fmt: skip
CONTROL: Final = _object(
    ["_id", "stopped", "reason", "by", "at"], _id=_WORD, stopped=_YES, reason=_TEXT, by=_TEXT, at=_DATE
)
ACCOUNT: Final = _object(
    ["_id", "hour", "first", "next", "closed", "at", "logged", "void", "states", "waiting", "unaccounted", "settled"],
    _id=_WORD, hour=_DATE, first=_WHOLE, next=_WHOLE, lost=_WHOLE, closed=_DATE, at=_DATE, logged=_WHOLE, void=_WHOLE,
    states={"bsonType": "object", "additionalProperties": _WHOLE}, waiting=_WHOLE, unaccounted=_WHOLE,
    missing=_list(_JOB, NAMED), settled=_YES,
)  # fmt: skip
MARK: Final = _object(
    ["_id", "at", "published", "seen", "left"], _id=_WORD, at=_DATE, published=_DATE, seen=_DATE, left=_YES
)
KEY: Final = _object(
    ["_id", "wrapped", "epoch"],
    _id=_object(["p", "g"], p=_HASH, g={"enum": list(GROUPS)}),
    wrapped=_BYTES,
    epoch=_WHOLE,
)

VALIDATORS: Final[dict[str, Doc]] = {
    "persons": PERSON,
    "messages": MESSAGE,
    "withdrawals": WITHDRAWAL,
    "events": EVENT,
    "permissions": PERMISSION,
    "dead": DEAD,
    "controls": CONTROL,
    "accounts": ACCOUNT,
    "marks": MARK,
}


@dataclass(frozen=True, slots=True)
class Index:
    """An index, by the name that says what asks for it."""

    name: str
    keys: tuple[tuple[str, int], ...]
    options: dict[str, Any] = field(default_factory=dict)


_STUCK: Final = {"partialFilterExpression": {"state": {"$in": ["claimed", "in_doubt", "deferred", "dead"]}}}
_DOUBT: Final = {"partialFilterExpression": {"state": {"$in": ["in_doubt", "asked"]}}}
INDEXES: Final[dict[str, tuple[Index, ...]]] = {
    "persons": (
        Index("pid", (("pid", 1),), {"unique": True}),
        Index("lookup", (("lookup", 1),), {"unique": True, "sparse": True}),
        Index("ref", (("ref_hash", 1),), {"sparse": True}),
    ),
    "messages": (
        Index("stuck", (("state", 1), ("lease", 1)), _STUCK),
        Index("doubt", (("state", 1), ("at", 1)), _DOUBT),
        Index("retried", (("at", 1),), {"partialFilterExpression": {"epoch": {"$gte": 2}}}),
        Index("age", (("created", 1),), {"expireAfterSeconds": KEEP_SECONDS}),
    ),
    "accounts": (
        Index("unsettled", (("settled", 1), ("at", 1))),
        Index("age", (("hour", 1),), {"expireAfterSeconds": KEEP_SECONDS}),
    ),
    "withdrawals": (Index("person", (("person", 1),)),),
    # As long as the claim of their mail: afterwards nothing says what they were about.
    "events": (Index("age", (("recorded", 1),), {"expireAfterSeconds": KEEP_SECONDS}),),
    "permissions": (Index("person", (("person", 1), ("at", 1))),),
    "marks": (
        Index("left", (("seen", 1),), {"expireAfterSeconds": 86_400, "partialFilterExpression": {"left": True}}),
    ),
    "dead": (Index("groups", (("state", 1), ("fingerprint", 1))), Index("job", (("job", 1),), {"sparse": True})),
}


async def apply(mongo: Mongo) -> None:
    """Make collections, validators and indexes what this version says. Raises `Unavailable`."""
    for keys, validators in ((False, VALIDATORS), (True, {"keys": KEY})):
        there = await mongo.collections(keys=keys)
        for name, schema in validators.items():
            command = "collMod" if name in there else "create"
            await mongo.command({command: name, **_validation(schema)}, keys=keys)
    for name, indexes in INDEXES.items():
        for index in indexes:
            await mongo[name].create_index(index.keys, name=index.name, **index.options)


async def check(mongo: Mongo) -> list[str]:
    """What differs from this version, in words; empty when nothing does. Raises `Unavailable`."""
    faults = []
    for keys, validators in ((False, VALIDATORS), (True, {"keys": KEY})):
        there = await mongo.collections(keys=keys)
        for name, schema in validators.items():
            wanted = _validation(schema)
            if any(there.get(name, {}).get(option) != value for option, value in wanted.items()):
                faults.append(f"{name}: the validator differs")
    for name, indexes in INDEXES.items():
        found = await mongo[name].indexes()
        faults += [f"{name}: the index {index.name} is missing" for index in indexes if index.name not in found]
    return faults


def _validation(schema: Doc) -> Doc:
    return {"validator": {"$jsonSchema": schema}, "validationLevel": "strict", "validationAction": "error"}
