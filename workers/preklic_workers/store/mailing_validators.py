"""What MongoDB itself refuses of the collections that mails to known persons come from."""

from typing import Final

from preklic_workers.store.mongo import Doc
from preklic_workers.store.schema_types import BYTES, DATE, HASH, JOB, PURPOSE, TEXT, WHOLE, WORD, list_of, object_of

SCHEDULED: Final = object_of(
    ["_id", "person", "pid", "purpose", "template", "language", "at", "expires"],
    _id=JOB, person=HASH, pid=BYTES, purpose=PURPOSE, template=WORD, language=WORD, at=DATE, expires=DATE,
    campaign=WORD,
)  # fmt: skip
TIMED: Final = object_of(
    ["_id", "person", "purpose", "at", "actor", "body", "times"],
    _id=JOB, person=HASH, purpose=PURPOSE, at=DATE, actor=WORD, body=BYTES, times=WHOLE, by=WORD,
)  # fmt: skip
CAMPAIGN: Final = object_of(
    ["_id", "purpose", "template", "data", "at", "segment", "rate", "state", "after", "walked", "published", "created"],
    _id=WORD, purpose=PURPOSE, template=WORD, data=BYTES, at=DATE, segment=TEXT, rate={"bsonType": "double"},
    state={"enum": ["running", "paused", "stopped", "done"]}, after={"bsonType": "string", "maxLength": 64},
    walked=WHOLE, published=WHOLE, created=DATE, cap=list_of(WHOLE, 2), wall=DATE, braked=DATE,
    lease=object_of(["by", "until"], by=TEXT, until=DATE),
)  # fmt: skip
ASKING: Final = object_of(["_id", "at", "count", "messages"], _id=HASH, at=DATE, count=WHOLE, messages=list_of(JOB, 10))

MAILINGS: Final[dict[str, Doc]] = {"schedule": {"oneOf": [SCHEDULED, TIMED]}, "campaigns": CAMPAIGN, "askings": ASKING}
