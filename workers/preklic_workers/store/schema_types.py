"""What a field may hold, in the JSON Schema that MongoDB itself checks."""

from collections.abc import Sequence
from typing import Final

from preklic_workers.store.mongo import Doc

TEXT: Final[Doc] = {"bsonType": "string", "maxLength": 1000}
WORD: Final[Doc] = {"bsonType": "string", "pattern": "^[A-Za-z0-9_.:@ -]{0,200}$"}
DATE: Final[Doc] = {"bsonType": "date"}
BYTES: Final[Doc] = {"bsonType": "binData"}
WHOLE: Final[Doc] = {"bsonType": ["int", "long"], "minimum": 0}
YES: Final[Doc] = {"bsonType": "bool"}
HASH: Final[Doc] = {"bsonType": "string", "pattern": "^[A-Za-z0-9_-]{43}$"}
JOB: Final[Doc] = {"bsonType": "string", "pattern": "^[0-9a-f-]{36}$"}
PURPOSE: Final[Doc] = {"bsonType": "string", "pattern": "^[a-z][a-z0-9_.]{0,63}$"}


def object_of(required: Sequence[str], **fields: Doc) -> Doc:
    """An object with these fields and no others."""
    needed: Doc = {"required": list(required)} if required else {}  # MongoDB refuses an empty list
    return {"bsonType": "object", "additionalProperties": False, "properties": fields} | needed


def list_of(items: Doc, most: int) -> Doc:
    """A list of at most so many."""
    return {"bsonType": "array", "items": items, "maxItems": most}
