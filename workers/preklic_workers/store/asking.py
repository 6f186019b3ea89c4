"""How often somebody is asked to confirm: whoever types a stranger's address into forms must not fill that mailbox."""

import datetime as dt
from typing import Final

from preklic_workers.store.mongo import Doc, Duplicate, Mongo

MOST: Final = 3  # confirmation mails to one address
APART: Final = dt.timedelta(days=1)


class Asking:
    """The collection `askings`: one document for each address that was asked. All methods raise `Unavailable`."""

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo
        self._askings = mongo["askings"]

    async def confirmed(self, subject: str) -> None:
        """The person has answered: whoever asks again some day begins anew."""
        await self._askings.delete({"_id": subject})

    async def may_ask(self, subject: str, message: str) -> bool:
        """Whether this confirmation mail may go: at most one a day, and MOST in all. Asked again, the same.

        One write, so two mails at once cannot both be the day's first. It counts even if the mail is then not sent: too
        few are the safe side.
        """
        now = self._mongo.now()
        rested: Doc = {"count": {"$lt": MOST}, "at": {"$lte": now - APART}}
        count: Doc = {"$add": [{"$ifNull": ["$count", 0]}, 1]}
        fields: Doc = {"count": count, "at": now, "messages": _with(message)}
        try:
            where: Doc = {"_id": subject, "messages": {"$ne": message}} | rested
            return await self._askings.change(where, [{"$set": fields}], {"_id": 1}, upsert=True) is not None
        except Duplicate:
            return await self._askings.find_one({"_id": subject, "messages": message}, {"_id": 1}) is not None


def _with(message: str) -> Doc:
    return {"$slice": [{"$concatArrays": [{"$ifNull": ["$messages", []]}, [message]]}, -2 * MOST]}
