"""What MongoDB itself refuses of replay plans: ids, words and codes alone."""

from typing import Final

from preklic_workers.store.mongo import Doc
from preklic_workers.store.schema_types import DATE, TEXT, WHOLE, WORD, list_of, object_of

_ITEM: Final = object_of(
    ["job", "queue", "actor", "letter", "offset", "outcome"],
    job=TEXT, queue=TEXT, actor=WORD, letter=TEXT, offset={"bsonType": ["int", "long"], "minimum": -1}, outcome=TEXT,
)  # fmt: skip
PLAN: Final = object_of(
    ["_id", "source", "by", "made", "state", "items", "jobs", "chosen", "done"],
    _id={"bsonType": "string", "pattern": "^[0-9a-f]{16}$"}, source={"enum": ["dead", "log", "recorded"]},
    by=TEXT, made=DATE, state={"enum": ["planned", "running", "interrupted", "stopped", "broken", "done"]},
    items=list_of(_ITEM, 10_000), jobs=WHOLE, chosen=WHOLE, done=WHOLE, gone=list_of(WHOLE, 10_000),
    notes=list_of(TEXT, 10), reason=TEXT, run_by=TEXT, rate={"bsonType": "number"}, run=WORD, beat=DATE, begun=DATE,
    ended=DATE, cause=TEXT,
)  # fmt: skip

PLANS: Final[dict[str, Doc]] = {"plans": PLAN}
