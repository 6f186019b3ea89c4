"""Settlements, written some together: first what is intended of the mails that were sent, then what became of each.

The ledger's entry of a mail that was sent is the same for all that a relay took in one moment, so it is said once, in
an `intent`, before the mails' own documents say that they were sent. An intent alone is nothing: it counts for those of
its mails whose history says the same (`entries`). Whoever dies in between has told the ledger nothing that is not so.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Final

from preklic_shared.ids import new_id
from preklic_workers.store.message_states import Settlement, alike, intended, settling
from preklic_workers.store.mongo import Doc, Mongo, Unavailable
from preklic_workers.store.statements import parted, write_together

_TICK: Final = dt.timedelta(milliseconds=1)


class Settlements:
    """Writes to `intents` and `messages`. Raises `Unavailable`; then nobody knows, and it may be repeated."""

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo
        self._messages = mongo["messages"]
        self._intents = mongo["intents"]
        self._last = mongo.now()

    async def write(self, settlements: Sequence[Settlement]) -> list[Exception | None]:
        """Why the store refused each of them, in their order."""
        now = self._moment()
        # A mail that is settled twice here has one leaf: of the two only the first one changes it.
        sent = {one.id: one for one in reversed(settlements) if one.state == "sent"}
        failed = await self._intend(list(sent.values()), now)
        left = [one for one in settlements if one.id not in failed]
        if left:
            result = await write_together(self._messages, left, alike, lambda those: settling(those, now))
            if not result.sure:
                raise Unavailable("settlements")
            failed |= {left[place].id: code for place, code in result.failed.items()}
        return [_refused(failed, one) for one in settlements]

    def _moment(self) -> dt.datetime:
        """Now, and never the same twice: a settlement that is repeated is told from its first time by its moment."""
        self._last = max(self._mongo.now(), self._last + _TICK)
        return self._last

    async def _intend(self, sent: Sequence[Settlement], now: dt.datetime) -> dict[str, int]:
        """Say it, one document for all that are alike; the mails whose intent was refused, with the code."""
        if not sent:
            return {}
        parts = [[sent[place] for place in part] for part in parted(sent, alike)]
        result = await self._intents.insert_many([_intent(part, now) for part in parts])
        if not result.sure:
            raise Unavailable("intents")
        return {one.id: code for place, code in result.failed.items() for one in parts[place]}


def _intent(those: Sequence[Settlement], now: dt.datetime) -> Doc:
    mails = [one.id for one in those]
    return {"_id": new_id(), "at": now, "look": now, "entry": intended(those[0], now), "mails": mails}


def _refused(failed: Mapping[str, int], one: Settlement) -> Exception | None:
    code = failed.get(one.id)
    return None if code is None else ValueError(f"the store refused the settlement (code {code})")
