"""What MongoDB itself refuses: unknown fields, and plaintext where a ciphertext belongs. One for each collection."""

from typing import Final

from preklic_workers.envelope import GROUPS
from preklic_workers.lifecycle import STATES
from preklic_workers.store.mongo import Doc
from preklic_workers.store.schema_types import (
    BYTES,
    DATE,
    HASH,
    JOB,
    PURPOSE,
    TEXT,
    WHOLE,
    WORD,
    YES,
    list_of,
    object_of,
)

NAMED: Final = 1000  # jobs that an hour's account names; the rest is counted

_CAPTURED: Final = object_of(["message", "epoch"], message=JOB, epoch=WHOLE)
_HAND_OVER: Final = object_of(
    ["message", "epoch", "purpose", "until", "seq"],
    message=JOB,
    epoch=WHOLE,
    purpose=PURPOSE,
    until=DATE,
    seq=WHOLE,
)
_STATE: Final[Doc] = {"enum": ["granted", "pending", "withdrawn", "objected"]}
_SAID: Final = object_of(
    ["state", "at", "job", "seq"],
    state=_STATE, at=DATE, job=JOB, seq=WHOLE, withdrawn=DATE, token=DATE, source=TEXT,
)  # fmt: skip

_ENDED: Final = object_of(
    ["job", "purposes", "at", "seq", "captured"],
    job=JOB,
    purposes=list_of(PURPOSE, 64),
    at=DATE,
    seq=WHOLE,
    captured=list_of(_CAPTURED, 2000),
)
PERSON: Final = object_of(
    ["_id", "pid", "seq", "permissions", "suppressed", "erased", "open", "stale", "withdrawals"],
    _id=HASH,
    pid=BYTES,
    lookup=HASH,
    provider={"bsonType": "string", "pattern": "^[a-z]{1,20}$"},
    seq=WHOLE,
    contact=BYTES,
    ref_hash={"anyOf": [HASH, list_of(HASH, 20)]},  # more than one after a merge
    merged=HASH,
    fields=object_of([], **dict.fromkeys(GROUPS, BYTES)),
    permissions={
        "bsonType": "object",
        "patternProperties": {"^[a-z][a-z0-9_:]{0,63}$": _SAID},
        "additionalProperties": False,
    },
    suppressed=object_of([], bounce=DATE, complaint=DATE, erased=DATE),
    no_at=DATE,
    erased=YES,
    open=list_of(_HAND_OVER, 1000),
    stale=list_of(_HAND_OVER, 1000),
    withdrawals=list_of(_ENDED, 20),
)
_REPLY: Final = object_of([], code=WHOLE, enhanced=WORD)
MESSAGE: Final = object_of(
    ["_id", "kind", "state", "producer", "created", "expires", "at"],
    _id=JOB,
    kind={"enum": ["send", "track", "revoke", "grant", "enrich", "ask"]},
    state={"enum": sorted(STATES | {"deferred"})},
    epoch=WHOLE,
    lease=DATE,
    purpose=PURPOSE,
    template=WORD,
    person=HASH,
    producer=WORD,
    body_hash=BYTES,
    by=BYTES,
    reason=WORD,
    relay=WORD,
    processor=TEXT,
    reply=_REPLY,
    created=DATE,
    expires=DATE,
    at=DATE,
    sent_at=DATE,
    doubted=YES,
    again=YES,
    ended=WHOLE,
    history=list_of(
        object_of(["at", "state", "epoch"], at=DATE, state=WORD, epoch=WHOLE, reason=WORD, by=TEXT, why=TEXT), 20
    ),
)
WITHDRAWAL: Final = object_of(
    ["_id", "person", "purposes", "reason", "seq", "accepted", "closed"],
    _id=JOB, person=HASH, purposes=list_of(PURPOSE, 64), reason=TEXT, seq=WHOLE, accepted=DATE, closed=DATE,
    applied=DATE, waited=list_of(_CAPTURED, 2000), listed=list_of(_CAPTURED, 2000),
)  # fmt: skip
EVENT: Final = object_of(
    ["_id", "message", "person", "kind", "verdict", "at", "rules", "recorded"],
    _id=TEXT, message=JOB, person=TEXT, kind=WORD, link=WHOLE, verdict=WORD, at=DATE, rules=WHOLE,
    recorded=DATE,
)  # fmt: skip
PERMISSION: Final = object_of(
    ["_id", "person", "purpose", "action", "at", "proof", "recorded"],
    _id=TEXT, person=HASH, purpose=PURPOSE, action=WORD, at=DATE, proof=BYTES, recorded=DATE,
)  # fmt: skip
DEAD: Final = object_of(
    ["_id", "queue", "reason", "fingerprint", "attempts", "first", "last", "body", "state"],
    _id=TEXT, job=WORD, queue=WORD, actor=WORD, reason=TEXT, fingerprint=WORD, attempts=WHOLE, first=DATE,
    last=DATE, body=BYTES, field=TEXT, state={"enum": ["dead", "replayed", "discarded"]}, why=TEXT, moved=DATE,
)  # fmt: skip
CONTROL: Final = object_of(
    ["_id", "stopped", "reason", "by", "at"], _id=WORD, stopped=YES, reason=TEXT, by=TEXT, at=DATE
)
ACCOUNT: Final = object_of(
    ["_id", "hour", "first", "next", "closed", "at", "logged", "void", "states", "waiting", "unaccounted", "settled"],
    _id=WORD, hour=DATE, first=WHOLE, next=WHOLE, lost=WHOLE, closed=DATE, at=DATE, logged=WHOLE, void=WHOLE,
    states={"bsonType": "object", "additionalProperties": WHOLE}, waiting=WHOLE, unaccounted=WHOLE,
    missing=list_of(JOB, NAMED), settled=YES,
)  # fmt: skip
MARK: Final = object_of(
    ["_id", "at", "published", "seen", "left"], _id=WORD, at=DATE, published=DATE, seen=DATE, left=YES
)
ACT: Final = object_of(
    ["_id", "kind", "at", "by", "why"],
    _id=JOB, kind=WORD, at=DATE, by=TEXT, why=TEXT, person=HASH, keep=DATE,
    facts={
        "bsonType": "object",
        "maxProperties": 32,
        "patternProperties": {"^[a-z_]{1,40}$": {"bsonType": ["string", "int", "long", "date"], "maxLength": 500}},
        "additionalProperties": False,
    },
)  # fmt: skip
KEY: Final = object_of(
    ["_id", "wrapped", "epoch"],
    _id=object_of(["p", "g"], p=HASH, g={"enum": list(GROUPS)}),
    wrapped=BYTES,
    epoch=WHOLE,
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
    "acts": ACT,
}
