"""What of a bundle of evidence shares its leaf with others: events of mails, and rows of imported lists.

Each such record goes in whole, as the canonical JSON that was hashed, with the whole list of its batch: of all other
records in it the list has hashes, which name nobody.
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from preklic_workers.evidence_scope import Scope
from preklic_workers.ledger.leaves import canonical
from preklic_workers.store import Store
from preklic_workers.store.batches import Batches
from preklic_workers.store.mongo import Doc

Files = dict[str, bytes]
COLLECTION: Final = "batches"


@dataclass(frozen=True, slots=True)
class Records:
    """Documents as they are stored, by batch; of `emptied` ones an erasure took what was hashed."""

    whole: Mapping[str, Sequence[Doc]]
    emptied: Mapping[str, int]

    @property
    def batches(self) -> frozenset[str]:
        """The batches that they name."""
        return frozenset({*self.whole, *self.emptied})


async def batched_of(store: Store, scope: Scope) -> Records:
    """The events of the scope's mails, and the rows of imported lists of its persons. Raises Unavailable."""
    mails = None if scope.mails is None else sorted(scope.mails)
    docs = [*await store.events.batched(scope.persons, mails), *await store.proofs.batched(scope.persons)]
    whole: dict[str, list[Doc]] = {}
    emptied: dict[str, int] = {}
    for doc in docs:
        batch = doc["batch"]
        if doc.get("proof") == b"":
            emptied[batch] = emptied.get(batch, 0) + 1
        else:
            whole.setdefault(batch, []).append(doc)
    return Records(whole, emptied)


async def files_of(store: Store, records: Records, proven: Collection[str]) -> tuple[Files, dict[str, int]]:
    """The records of `proven` batches, whose leaves are in the bundle, with the lists; and how many are gone, by batch.

    A record whose list is not kept any more is gone, too: nothing would prove it.
    """
    lists = await Batches(store.mongo).lists(sorted(set(proven).intersection(records.whole)))
    files: Files = {f"{COLLECTION}/{batch}.hashes": hashes for batch, hashes in lists.items()}
    for batch in lists:
        files |= dict(map(_file, records.whole[batch]))
    gone = {batch: records.emptied.get(batch, 0) for batch in records.batches & set(proven)}
    for batch in gone.keys() - lists:
        gone[batch] += len(records.whole.get(batch, ()))
    return files, {batch: count for batch, count in gone.items() if count}


def wordings_of(records: Records) -> set[str]:
    """The wordings that rows of lists name."""
    return {doc["wording"] for docs in records.whole.values() for doc in docs if "wording" in doc}


def _file(doc: Mapping[str, Any]) -> tuple[str, bytes]:
    octets = canonical(doc)
    return f"records/{hashlib.sha256(octets).hexdigest()}.json", octets
