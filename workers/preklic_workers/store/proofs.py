"""Proofs: one row for each yes, with the words that it was given to; rows are appended and never changed.

In the clear stand a hash of the wording, its version and language, and how, when and through whom the yes came. What
the person gave as proof is encrypted whole under the person's `evidence` key, and is noise once that key is destroyed.
"""

import datetime as dt
from collections.abc import Collection, Mapping
from typing import Any, Final

import msgspec
from pymongo import InsertOne, UpdateOne

from preklic_shared.wordings import Words
from preklic_workers.proving import Proven
from preklic_workers.store.mongo import DUPLICATE, Doc, Mongo, Unavailable
from preklic_workers.store.vault import Vault

_SHOWN: Final = {"proof": 0, "person": 0, "leaves": 0}
_NOES: Final = {"purposes": 1, "reason": 1, "accepted": 1, "closed": 1}


class Proofs:
    """The collections `permissions` and `wordings`. Raises `Unavailable`, and `NoKey` where the role holds no key."""

    def __init__(self, mongo: Mongo, vault: Vault) -> None:
        self._mongo = mongo
        self._rows = mongo["permissions"]
        self._wordings = mongo["wordings"]
        self._withdrawals = mongo["withdrawals"]
        self._vault = vault
        self._kept: set[str] = set()

    async def keep(
        self, job: str, row: Doc, states: Mapping[str, str], proof: Mapping[str, Any], proven: Proven | None
    ) -> None:
        """One row for each purpose of the grant `job`; `row` is what they share: `person`, `at`, maybe `confirmed`."""
        if proven is not None and proven.words is not None:
            await self.keep_words(proven.words)
        key = await self._vault.key_or_new(row["person"], "evidence")
        plain = msgspec.json.encode(dict(proof))
        rows = []
        for purpose, state in states.items():
            row_id = f"{job}:{purpose}"
            sealed = key.encrypt(plain, row["person"], "permissions", row_id)
            now = self._mongo.now()
            own = {"_id": row_id, "purpose": purpose, "action": state, "proof": sealed, "recorded": now}
            own["leaves"] = [{"at": now, "what": state}]
            rows.append(InsertOne[Any](row | clear(proven) | own))
        result = await self._rows.bulk(rows)
        if not result.sure:
            raise Unavailable("permissions")
        if refused := [code for code in result.failed.values() if code != DUPLICATE]:
            raise ValueError(f"the store refused a proof (code {refused[0]})")

    async def history(self, person: str) -> list[Doc]:
        """Every yes and every no of a person, the oldest first, without what is encrypted.

        A yes has its `purpose`, its `action` (granted, pending, kept, after_withdrawal) and what stands in the clear; a
        no has its `purposes`, the action `withdrawn` and the `reason`.
        """
        given = await self._rows.find({"person": person}, _SHOWN)
        taken = await self._withdrawals.find({"person": person}, _NOES)
        return sorted([*given, *map(_no, taken)], key=lambda row: (row["at"], row["recorded"]))

    async def opened(self, person: str) -> list[dict[str, Any]]:
        """What a person said, with purpose, action, time and the proof in the clear. Raises `NoKey` or `Altered`."""
        rows = [row for row in await self._rows.find({"person": person}, sort=[("at", 1)]) if row["proof"]]
        if not rows:
            return []
        key = (await self._vault.openers([(person, "evidence")]))[person, "evidence"]
        plain = [key.decrypt(bytes(row["proof"]), person, "permissions", row["_id"]) for row in rows]
        return [
            {"purpose": row["purpose"], "action": row["action"], "at": row["at"], "proof": msgspec.json.decode(proof)}
            for row, proof in zip(rows, plain, strict=True)
        ]

    async def batched(self, persons: Collection[str]) -> list[Doc]:
        """These persons' rows of imported lists as they are recorded; `proof` is empty where an erasure took it."""
        where: Doc = {"person": {"$in": list(persons)}, "batch": {"$exists": True}}
        return await self._rows.find(where, majority=True)

    async def wording(self, digest: str) -> Doc | None:
        """The text behind the hash of a known wording, whatever the registry says today."""
        return await self._wordings.find_one({"_id": digest})

    async def keep_words(self, words: Words) -> None:
        """The text itself, once: it must still be there when the registry has moved on (GDPR 7(1))."""
        if words.hash in self._kept:
            return
        fields: Doc = {"text": words.text, "id": words.id, "version": words.version, "language": words.language}
        fields |= {"recorded": self._mongo.now()}
        made = await self._wordings.bulk([UpdateOne({"_id": words.hash}, {"$setOnInsert": fields}, upsert=True)])
        if made.failed or not made.sure:
            raise Unavailable("wordings")
        self._kept.add(words.hash)


def confirmed(at: dt.datetime, token_at: dt.datetime | None) -> Doc:
    """That the person proved the address to be theirs: when, and when the token for it was made."""
    return {"at": at} | ({"token": token_at} if token_at is not None else {})


def clear(proven: Proven | None) -> Doc:
    """The fields of a row that stand beside its proof in the clear."""
    if proven is None:
        return {}
    fields = {name: getattr(proven, name) for name in ("wording", "language", "method", "source", "producer")}
    return fields | ({"version": proven.words.reference} if proven.words is not None else {})


def _no(receipt: Doc) -> Doc:
    rest = {"action": "withdrawn", "at": receipt["accepted"], "recorded": receipt["closed"]}
    return {name: receipt[name] for name in ("_id", "purposes", "reason")} | rest
