"""Requests for disclosure and break-glass: added once, approved by conditional writes, never changed otherwise."""

from preklic_workers.approving import RULES, Kind, Request
from preklic_workers.officers import Signed
from preklic_workers.store.mongo import Doc, Mongo
from preklic_workers.store.signatures import signed_doc, signed_of


class Requests:
    """The collection `requests`. All methods raise `Unavailable`. What is read here is not checked yet."""

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo
        self._requests = mongo["requests"]

    async def add(self, request: Request) -> None:
        """Keep a new request."""
        doc: Doc = {"_id": request.id, "kind": request.kind, "body": request.body, "asked": signed_doc(request.asked)}
        await self._requests.insert(doc | {"approvals": [], "at": request.asked.at})

    async def show(self, request: str) -> Request | None:
        """One request."""
        doc = await self._requests.find_one({"_id": request})
        return _request(doc) if doc else None

    async def recent(self, kind: Kind, limit: int = 100) -> list[Request]:
        """The newest of a kind, the newest first."""
        return [_request(doc) for doc in await self._requests.find({"kind": kind}, sort=[("at", -1)], limit=limit)]

    async def approve(self, request: Request, approval: Signed) -> bool:
        """Add an approval; False when the officer's or all are there by now, or it was closed."""
        last = RULES[request.kind].approvals - 1
        where: Doc = {
            "_id": request.id,
            "body": request.body,
            "closed": {"$exists": False},
            f"approvals.{last}": {"$exists": False},
            "approvals.officer": {"$ne": approval.officer},
            "approvals.public": {"$ne": approval.public},
        }
        return (
            await self._requests.change(where, {"$push": {"approvals": signed_doc(approval)}}, {"_id": 1}) is not None
        )

    async def close(self, request: str) -> None:
        """Nothing rests on it any more. Twice is once."""
        where: Doc = {"_id": request, "closed": {"$exists": False}}
        await self._requests.change(where, {"$set": {"closed": self._mongo.now()}}, {"_id": 1})


def _request(doc: Doc) -> Request:
    return Request(
        id=doc["_id"],
        kind=doc["kind"],
        body=bytes(doc["body"]),
        asked=signed_of(doc["asked"]),
        approvals=tuple(signed_of(one) for one in doc["approvals"]),
        closed=doc.get("closed"),
    )
