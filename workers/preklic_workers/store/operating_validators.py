"""What MongoDB itself refuses of the collections that operating the service rests on; they hold nothing of a person."""

from typing import Final

from preklic_workers.store.mongo import Doc
from preklic_workers.store.schema_types import DATE, WORD, list_of, object_of

MOST_PROBES: Final = 100  # probes of one queue that are remembered while nobody answers
MOST_KNOWN: Final = 20  # schemas that are remembered

AGE: Final = object_of(
    ["_id"], _id=WORD, asked=DATE, answered=DATE, waiting=list_of(DATE, MOST_PROBES), took={"bsonType": "double"}
)
_FINGERPRINT: Final[Doc] = {"bsonType": "string", "pattern": "^[0-9a-f]{64}$"}
VERSION: Final = object_of(["_id", "known"], _id=WORD, known=list_of(_FINGERPRINT, MOST_KNOWN), at=DATE)

OPERATING: Final[dict[str, Doc]] = {"ages": AGE, "versions": VERSION}
