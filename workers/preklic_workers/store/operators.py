"""Who may run commands: names, scopes, and of each token its SHA-256. A name that was removed stays, with its end."""

from contextlib import suppress
from typing import Final

from pymongo.errors import OperationFailure

from preklic_workers.operators import Operator
from preklic_workers.store.acts import Act, Acts
from preklic_workers.store.mongo import Doc, Duplicate, Mongo, Unavailable

_FIELDS: Final[Doc] = {"token": 0, "first": 0}


class Operators:
    """The collection `operators`. All methods raise `Unavailable`."""

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo
        self._operators = mongo["operators"]

    async def named(self) -> bool:
        """Whether anybody was ever named: from then on every command needs a token."""
        return await self._operators.find_one({}, {"_id": 1}) is not None

    async def of_token(self, digest: str) -> Operator | None:
        """Whose token has this hash, removed or expired ones too."""
        doc = await self._operators.find_one({"token": digest}, _FIELDS)
        return _operator(doc) if doc else None

    async def all(self) -> list[Operator]:
        """Everybody who was ever named, by name."""
        return [_operator(doc) for doc in await self._operators.find({}, _FIELDS, sort=[("_id", 1)])]

    async def add(self, operator: Operator, digest: str, *, first: bool) -> bool:
        """Name somebody, or once more who was removed; False for a name that is taken, or a `first` that is second."""
        doc: Doc = {"scopes": list(operator.scopes), "added": operator.added, "by": operator.by, "token": digest}
        doc |= {"until": operator.until} if operator.until else {}
        try:
            await self._operators.insert({"_id": operator.name} | doc | ({"first": True} if first else {}))
        except Duplicate:
            return not first and await self._again(operator.name, doc)
        return True

    async def _again(self, name: str, doc: Doc) -> bool:
        gone: Doc = {"removed": ""} if "until" in doc else {"removed": "", "until": ""}
        where: Doc = {"_id": name, "removed": {"$exists": True}}
        return await self._operators.change(where, {"$set": doc, "$unset": gone}, {"_id": 1}) is not None

    async def remove(self, name: str) -> bool:
        """From now on the token is refused; False when there is none, or it was removed before."""
        where: Doc = {"_id": name, "removed": {"$exists": False}}
        return await self._operators.change(where, {"$set": {"removed": self._mongo.now()}}, {"_id": 1}) is not None

    async def denied(self, act: Act) -> None:
        """Record a refusal, if that is possible: a user of MongoDB who may only read cannot, and is refused anyway."""
        with suppress(Unavailable, OperationFailure):
            await Acts(self._mongo).record(act)


def _operator(doc: Doc) -> Operator:
    return Operator(
        name=doc["_id"],
        scopes=tuple(doc["scopes"]),
        added=doc["added"],
        by=doc["by"],
        until=doc.get("until"),
        removed=doc.get("removed"),
    )
