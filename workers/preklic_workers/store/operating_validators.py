"""What MongoDB itself refuses of the collections that operating the service rests on; they hold nothing of a person."""

from typing import Final

from preklic_workers.operators import SCOPES
from preklic_workers.store.mongo import Doc
from preklic_workers.store.schema_types import DATE, TEXT, WORD, YES, list_of, object_of

MOST_PROBES: Final = 100  # probes of one queue that are remembered while nobody answers
MOST_KNOWN: Final = 20  # schemas that are remembered

AGE: Final = object_of(
    ["_id"], _id=WORD, asked=DATE, answered=DATE, waiting=list_of(DATE, MOST_PROBES), took={"bsonType": "double"}
)
_FINGERPRINT: Final[Doc] = {"bsonType": "string", "pattern": "^[0-9a-f]{64}$"}
VERSION: Final = object_of(["_id", "known"], _id=WORD, known=list_of(_FINGERPRINT, MOST_KNOWN), at=DATE)

OPERATOR: Final = object_of(
    ["_id", "scopes", "added", "by", "token"],
    _id={"bsonType": "string", "pattern": "^[A-Za-z0-9_.-]{1,64}$"},
    scopes=list_of({"enum": list(SCOPES)}, len(SCOPES)),
    added=DATE, by=TEXT, until=DATE, removed=DATE, token=_FINGERPRINT, first=YES,
)  # fmt: skip

OPERATING: Final[dict[str, Doc]] = {"ages": AGE, "operators": OPERATOR, "versions": VERSION}
