"""What MongoDB itself refuses: unknown fields, and plaintext where a ciphertext belongs. One for each collection."""

from typing import Final

from preklic_workers.envelope import EPOCH_GROUPS, GROUPS
from preklic_workers.lifecycle import STATES
from preklic_workers.packing import GROUP, MOST_WAITING
from preklic_workers.store.dead_validators import DEAD
from preklic_workers.store.holding import MOST_HOLDS, MOST_KEPT
from preklic_workers.store.kept_keys import MOST
from preklic_workers.store.ledger_validators import LEAVES, LEDGER, REPLY
from preklic_workers.store.mailing_validators import MAILINGS
from preklic_workers.store.mongo import Doc
from preklic_workers.store.operating_validators import OPERATING
from preklic_workers.store.plan_validators import PLANS
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
_GROUP: Final[Doc] = {"enum": list(GROUPS)}
_SIGNED: Final = object_of(
    ["officer", "public", "signature", "at"], officer=WORD, public=BYTES, signature=BYTES, at=DATE
)
_HOLD: Final = object_of(
    ["id", "case", "groups", "from", "until", "mails", "body", "signed", "octets"],
    id=JOB, case=TEXT, groups=list_of(_GROUP, len(GROUPS)), until=DATE, mails=WHOLE, body=BYTES, signed=_SIGNED,
    octets=YES, **{"from": DATE},
)  # fmt: skip
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
    alive=DATE,
    erased=YES,
    untold=YES,
    open=list_of(_HAND_OVER, 1000),
    stale=list_of(_HAND_OVER, 1000),
    withdrawals=list_of(_ENDED, 20),
    holds=list_of(_HOLD, MOST_HOLDS),
    held=object_of([], **dict.fromkeys(GROUPS, list_of(BYTES, MOST_KEPT))),
    waiting=object_of(["groups", "at"], groups=list_of(_GROUP, len(GROUPS)), at=DATE, applied=DATE),
    erased_seq=WHOLE,
)
MESSAGE: Final = object_of(
    ["_id", "kind", "state", "producer", "created", "expires", "at"],
    _id=JOB,
    kind={"enum": ["send", "track", "revoke", "grant", "enrich", "aside", "ask", "campaign"]},
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
    campaign=WORD,
    variant=WHOLE,
    reply=REPLY,
    created=DATE,
    expires=DATE,
    at=DATE,
    sent_at=DATE,
    send_at=DATE,
    doubted=YES,
    again=YES,
    ended=WHOLE,
    leaves=LEAVES,
    history=list_of(
        object_of(["at", "state", "epoch"], at=DATE, state=WORD, epoch=WHOLE, reason=WORD, by=TEXT, why=TEXT), 20
    ),
)
_ERASED: Final = object_of(
    ["person", "groups", "kept", "events", "proofs", "dead"],
    person=HASH, at=DATE, groups=list_of(WORD, len(GROUPS)), kept=list_of(WORD, len(GROUPS)), events=WHOLE,
    proofs=WHOLE, dead=WHOLE, scheduled=WHOLE,
)  # fmt: skip
WITHDRAWAL: Final = object_of(
    ["_id", "person", "purposes", "reason", "seq", "accepted", "closed"],
    _id=JOB, person=HASH, purposes=list_of(PURPOSE, 64), reason=TEXT, seq=WHOLE, accepted=DATE, closed=DATE,
    applied=DATE, waited=list_of(_CAPTURED, 2000), listed=list_of(_CAPTURED, 2000), erased=list_of(_ERASED, 20),
    leaves=LEAVES,
)  # fmt: skip
EVENT: Final = object_of(
    ["_id", "message", "person", "kind", "verdict", "at", "rules", "recorded"],
    _id=TEXT, message=JOB, person=TEXT, kind=WORD, link=WHOLE, verdict=WORD, at=DATE, rules=WHOLE,
    recorded=DATE, bounce={"enum": ["hard", "soft", "policy"]}, code=WORD, salt=BYTES, batch=JOB,
)  # fmt: skip
PERMISSION: Final = object_of(
    ["_id", "person", "purpose", "action", "at", "proof", "recorded"],
    _id=TEXT, person=HASH, purpose=PURPOSE, action=WORD, at=DATE, proof=BYTES, recorded=DATE,
    wording={"bsonType": "string", "pattern": "^([0-9a-f]{64}|[A-Za-z0-9_-]{43})$"}, version=WORD, language=WORD,
    method=WORD, source=WORD, producer=WORD, confirmed=object_of(["at"], at=DATE, token=DATE), leaves=LEAVES,
    batch=JOB,
)  # fmt: skip
WORDING: Final = object_of(
    ["_id", "text", "id", "version", "language", "recorded"],
    _id={"bsonType": "string", "pattern": "^[0-9a-f]{64}$"}, text={"bsonType": "string", "maxLength": 262_144},
    id=WORD, version=WORD, language=WORD, recorded=DATE,
)  # fmt: skip
CONTROL: Final = object_of(
    ["_id", "stopped", "reason", "by", "at"],
    _id=WORD, stopped=YES, reason=TEXT, by=TEXT, at=DATE, until=DATE, number=WHOLE, mark=WORD, told=WHOLE,
    leaves=LEAVES,
)  # fmt: skip
HOLDER: Final = object_of(
    ["_id", "role", "host", "epochs", "seen"],
    _id=WORD, role=WORD, host=WORD, seen=DATE, epochs=object_of([], **dict.fromkeys(EPOCH_GROUPS, list_of(WHOLE, 100))),
)  # fmt: skip
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
    _id=JOB, kind=WORD, at=DATE, by=TEXT, why=TEXT, person=HASH, keep=DATE, leaves=LEAVES,
    facts={
        "bsonType": "object",
        "maxProperties": 32,
        "patternProperties": {"^[a-z_]{1,40}$": {"bsonType": ["string", "int", "long", "date"], "maxLength": 500}},
        "additionalProperties": False,
    },
)  # fmt: skip
REQUEST: Final = object_of(
    ["_id", "kind", "body", "asked", "approvals", "at"],
    _id=JOB, kind={"enum": ["disclosure", "breakglass"]}, body=BYTES, asked=_SIGNED, approvals=list_of(_SIGNED, 2),
    at=DATE, closed=DATE,
)  # fmt: skip
HELD_MAIL: Final = object_of(
    ["_id", "hold", "person", "mail"],
    _id={"bsonType": "string", "pattern": "^[0-9a-f-]{36}:[0-9a-f-]{36}$"}, hold=JOB, person=HASH, mail=MESSAGE,
)  # fmt: skip
FEED: Final = object_of(
    ["_id", "holder", "lease"], _id=WORD, holder=JOB, lease=DATE, token={"bsonType": "object"}, at=DATE
)
WEBHOOK: Final = object_of(["_id"], _id=WORD, delivered=DATE, failed=DATE, reason=WORD)
WEBHOOK_FAILURE: Final = object_of(
    ["_id", "endpoint", "event", "attempts", "reason", "first", "last"],
    _id=JOB, endpoint=WORD, event=WORD, attempts=WHOLE, reason=WORD, first=DATE, last=DATE,
)  # fmt: skip
_KEY_OF_CELL: Final[Doc] = {"purpose": PURPOSE} | dict.fromkeys(
    ("template", "provider", "state", "reason", "reads"), WORD
)
_TENS: Final = WHOLE | {"minimum": GROUP, "multipleOf": GROUP}  # no number of few people can be kept at all
STATISTICS: Final = object_of(
    ["_id", "day", "at", "cells", "persons", "waiting"],
    _id={"bsonType": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"}, day=DATE, at=DATE,
    cells=list_of(object_of([*_KEY_OF_CELL, "count"], **_KEY_OF_CELL, count=_TENS), 100_000),
    persons=list_of(object_of(["provider", "count"], provider=WORD, count=_TENS), 1000),
    waiting=list_of(
        object_of([*_KEY_OF_CELL, "id", "person", "day"], **_KEY_OF_CELL, id=JOB, person=HASH, day=DATE), MOST_WAITING
    ),
)  # fmt: skip
_NUMBER: Final[Doc] = {"bsonType": "number"}
_SEATS: Final = object_of(["by", "seats", "until"], by=JOB, seats=WHOLE, until=DATE)
LEASE: Final = object_of(
    ["_id", "at", "granted"], _id=WORD, at=DATE, granted=WHOLE, now=_NUMBER, since=_NUMBER, next=_NUMBER, count=WHOLE,
    held=list_of(_SEATS, 10_000),
)  # fmt: skip
# A person's own key of a group; with a name (`n`) one that is set aside for holds; with a hold (`h`) that hold's own.
KEY: Final = object_of(
    ["_id", "wrapped", "epoch"],
    _id=object_of(["p", "g"], p=HASH, g={"enum": list(EPOCH_GROUPS)}, n=WORD, h=JOB),
    wrapped=BYTES, epoch=WHOLE, held=HASH, aside=DATE, made=DATE,
    kept=list_of(object_of(["g", "n", "wrapped"], g=_GROUP, n=WORD, wrapped=BYTES), MOST),
)  # fmt: skip

VALIDATORS: Final[dict[str, Doc]] = {
    "persons": PERSON,
    "messages": MESSAGE,
    "withdrawals": WITHDRAWAL,
    "events": EVENT,
    "permissions": PERMISSION,
    "wordings": WORDING,
    "dead": DEAD,
    "controls": CONTROL,
    "accounts": ACCOUNT,
    "marks": MARK,
    **OPERATING,
    "acts": ACT,
    "requests": REQUEST,
    "held_mails": HELD_MAIL,
    "holders": HOLDER,
    "statistics": STATISTICS,
    "leases": LEASE,
    **MAILINGS,
    **LEDGER,
    **PLANS,
    "feeds": FEED,
    "webhooks": WEBHOOK,
    "webhook_failures": WEBHOOK_FAILURE,
}
