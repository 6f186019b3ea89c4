"""What MongoDB itself refuses of the ledger's collections."""

from typing import Final

from preklic_workers.store.mongo import Doc
from preklic_workers.store.schema_types import BYTES, DATE, HASH, JOB, TEXT, WHOLE, WORD, YES, list_of, object_of

REPLY: Final = object_of([], code=WHOLE, enhanced=WORD)
# Of a key: its file's name, and what tells it from another of that name.
NAMES: Final = list_of({"bsonType": "string", "pattern": "^[A-Za-z0-9_.:@ -]{0,400}$"}, 1000)
_ENTRY: Final = object_of(
    ["at", "what"], at=DATE, what=WORD, epoch=WHOLE, reason=WORD, relay=WORD, processor=TEXT, reply=REPLY, by=TEXT,
    why=TEXT, passed=YES, until=DATE, about=HASH, names=NAMES,
)  # fmt: skip
LEAVES: Final = list_of(_ENTRY, 1000)
"""What happened to a record, on the record itself, until the sequencer has put it into the ledger."""
_RECORD: Final[Doc] = {"bsonType": "string", "pattern": "^[a-z]{1,20}:.{1,200}$"}
_PERSON: Final[Doc] = {"anyOf": [HASH, {"enum": [""]}]}
RUN: Final = object_of(
    ["_id", "at", "leaves", "hashes", "edge", "records", "persons", "openings", "sums", "seal"],
    _id=WHOLE, at=DATE, leaves=list_of(BYTES, 10_000), hashes=BYTES, edge=BYTES, records=list_of(_RECORD, 10_000),
    persons=list_of(_PERSON, 10_000), openings=list_of(BYTES, 10_000), sums=BYTES, seal=BYTES,
)  # fmt: skip
CHECKPOINT: Final = object_of(
    ["_id", "note", "at", "seal"], _id=WHOLE, note={"bsonType": "string", "maxLength": 10_000}, at=DATE, seal=BYTES
)
COPY: Final = object_of(
    ["_id", "mail", "epoch", "person", "at", "sha256", "size", "octets"],
    _id={"bsonType": "string", "pattern": "^[0-9a-f-]{36}:[0-9]{1,9}$"}, mail=JOB, epoch=WHOLE, person=HASH, at=DATE,
    sha256={"bsonType": "string", "pattern": "^[0-9a-f]{64}$"}, size=WHOLE, octets=BYTES, leaves=LEAVES,
)  # fmt: skip

STAMP: Final = object_of(
    ["_id", "response", "chain", "at"],
    _id=WHOLE, response=BYTES, chain={"bsonType": "string", "maxLength": 100_000}, at=DATE,
)  # fmt: skip
COSIGNATURE: Final = object_of(
    ["_id", "line", "vkey", "at"],
    _id=WHOLE, line={"bsonType": "string", "maxLength": 1000}, vkey={"bsonType": "string", "maxLength": 1000}, at=DATE,
)  # fmt: skip

BATCH: Final = object_of(
    ["_id", "at", "count", "hashes", "digest"],
    _id=JOB, at=DATE, count=WHOLE, hashes=BYTES, digest=BYTES, keep=DATE, leaves=LEAVES,
)  # fmt: skip
INTENT: Final = object_of(
    ["_id", "at", "look", "entry", "mails"], _id=JOB, at=DATE, look=DATE, entry=_ENTRY, mails=list_of(JOB, 1000)
)
STANDING: Final = object_of(["_id", "items", "at"], _id=WORD, items=NAMES, at=DATE, leaves=LEAVES)

LEDGER: Final[dict[str, Doc]] = {
    "ledger": RUN, "checkpoints": CHECKPOINT, "stamps": STAMP, "cosignatures": COSIGNATURE, "copies": COPY,
    "batches": BATCH, "standing": STANDING, "intents": INTENT,
}  # fmt: skip
