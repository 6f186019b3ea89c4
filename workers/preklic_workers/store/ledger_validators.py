"""What MongoDB itself refuses of the ledger's collections."""

from typing import Final

from preklic_workers.store.mongo import Doc
from preklic_workers.store.schema_types import BYTES, DATE, HASH, JOB, TEXT, WHOLE, WORD, list_of, object_of

REPLY: Final = object_of([], code=WHOLE, enhanced=WORD)
LEAVES: Final = list_of(
    object_of(
        ["at", "what"], at=DATE, what=WORD, epoch=WHOLE, reason=WORD, relay=WORD, processor=TEXT, reply=REPLY, by=TEXT,
        why=TEXT,
    ),
    1000,
)  # fmt: skip
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

LEDGER: Final[dict[str, Doc]] = {"ledger": RUN, "checkpoints": CHECKPOINT, "stamps": STAMP, "copies": COPY}
