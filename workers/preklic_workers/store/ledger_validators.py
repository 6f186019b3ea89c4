"""What MongoDB itself refuses of the ledger's collections."""

from typing import Final

from preklic_workers.store.mongo import Doc
from preklic_workers.store.schema_types import BYTES, DATE, HASH, TEXT, WHOLE, WORD, list_of, object_of

REPLY: Final = object_of([], code=WHOLE, enhanced=WORD)
LEAVES: Final = list_of(
    object_of(
        ["at", "what"], at=DATE, what=WORD, epoch=WHOLE, reason=WORD, relay=WORD, processor=TEXT, reply=REPLY, by=TEXT,
        why=TEXT,
    ),
    1000,
)  # fmt: skip
"""What happened to a record, on the record itself, until the sequencer has put it into the ledger."""
_LEAF: Final[Doc] = {"bsonType": "string", "pattern": "^[0-9a-f]{32}$"}
RUN: Final = object_of(
    ["_id", "at", "leaves", "hashes", "edge"],
    _id=WHOLE,
    at=DATE,
    leaves=list_of(BYTES, 20_000),
    hashes=BYTES,
    edge=BYTES,
)
OPENING: Final = object_of(["_id", "place"], _id=_LEAF, place=WHOLE, person=HASH, sealed=BYTES, clear=BYTES)
CHECKPOINT: Final = object_of(
    ["_id", "note", "at"], _id=WHOLE, note={"bsonType": "string", "maxLength": 10_000}, at=DATE
)

LEDGER: Final[dict[str, Doc]] = {"ledger": RUN, "openings": OPENING, "checkpoints": CHECKPOINT}
