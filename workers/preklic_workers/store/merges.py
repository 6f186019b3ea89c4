"""Merges: both persons' documents change as one, so that neither ever stands beside an answer that the other gave."""

from collections.abc import Mapping, Sequence

from preklic_shared.registry import Registry
from preklic_workers.store.merge_docs import Merge, Merged, is_done, leaving, merged, refusal, uniting
from preklic_workers.store.mongo import Doc, Mongo

_READ = {"permissions": 1, "erased": 1, "merged": 1}


class Merges:
    """Merges two persons. All methods raise `Unavailable`; whoever is not sure runs it again."""

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo
        self._persons = mongo["persons"]

    async def outlook(self, merge: Merge) -> str | None:
        """What stands in the way (`refusal`), `done` when there is nothing left to do, else None. Changes nothing."""
        docs = await self._persons.find({"_id": {"$in": [merge.source, merge.target]}}, dict(_READ))
        return _outlook(merge, {doc["_id"]: doc for doc in docs})

    async def into(self, subjects: Sequence[str]) -> list[str]:
        """Those whom these persons were merged into, and those whom they were, none of `subjects` among them."""
        known, asked = set(subjects), list(subjects)
        found: list[str] = []
        while asked:
            docs = await self._persons.find({"_id": {"$in": asked}, "merged": {"$exists": True}}, {"merged": 1})
            asked = sorted({doc["merged"] for doc in docs} - known)
            known |= set(asked)
            found += asked
        return found

    async def merge(self, merge: Merge, registry: Registry) -> Merged | str:
        """Do it, in one transaction; or say what stands in the way. Twice is once."""
        answer: Merged | str = ""

        def decide(docs: Mapping[str, Doc]) -> dict[str, Doc]:
            nonlocal answer
            no = _outlook(merge, docs)
            if no is not None:
                answer = no
                return {}
            target, source = docs[merge.target], docs[merge.source]
            united = uniting(target, source, registry, merge)
            answer = merged(target, united)
            return {merge.target: united, merge.source: leaving(source, registry, merge)}

        await self._mongo.change_together("persons", [merge.source, merge.target], decide)
        return answer


def _outlook(merge: Merge, docs: Mapping[str, Doc]) -> str | None:
    return refusal(merge, docs) or ("done" if is_done(merge, docs) else None)
