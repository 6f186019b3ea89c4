"""What MongoDB itself refuses in the collection of dead letters. What older versions kept has fewer of these fields."""

from typing import Final

from preklic_workers.sifting import STATES
from preklic_workers.store.message_states import HISTORY
from preklic_workers.store.schema_types import BYTES, DATE, HASH, JOB, TEXT, WHOLE, WORD, list_of, object_of

_DECIDED: Final = object_of(["at", "state", "by", "why", "act"], at=DATE, state=WORD, by=TEXT, why=TEXT, act=JOB)
DEAD: Final = object_of(
    ["_id", "queue", "reason", "fingerprint", "attempts", "first", "last", "body", "state"],
    _id=TEXT, job=WORD, queue=WORD, actor=WORD, reason=TEXT, fingerprint=WORD, attempts=WHOLE, first=DATE,
    last=DATE, body=BYTES, person=HASH, field=TEXT, exception=WORD, frame=WORD, code=WORD, purpose=WORD,
    template=WORD, campaign=WORD, user=WORD, state={"enum": list(STATES)}, why=TEXT, moved=DATE,
    history=list_of(_DECIDED, HISTORY),
)  # fmt: skip
