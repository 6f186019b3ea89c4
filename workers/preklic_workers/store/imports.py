"""Lists of grants, written by the chunk: a find, the persons' keys, the persons, and their proofs last.

A proof, by the id of its row and purpose, is the mark that this answer is recorded: an import that was killed anywhere
and runs again finds it and goes on. Every write to a person is conditional on what was read: a no in between wins.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from pymongo import UpdateOne

from preklic_shared.randomness import random_octets
from preklic_shared.registry import Purpose
from preklic_shared.tokens import PID_BYTES
from preklic_workers.blind import Blind
from preklic_workers.envelope import DataKey
from preklic_workers.store.batches import Batches
from preklic_workers.store.import_docs import ListGrant, ListState, judge, new_states, permissions_of, unchanged
from preklic_workers.store.mongo import DUPLICATE, Bulk, Doc, Mongo, Unavailable
from preklic_workers.store.person_docs import fresh
from preklic_workers.store.persons import contact_doc
from preklic_workers.store.proofs import Proofs, clear
from preklic_workers.store.vault import Owner, Vault

_TRIES: Final = 50
_BATCH: Final = 1_000  # rows under one leaf: who shows one of them shows the hashes of all of them
_READ: Final = {"pid": 0, "open": 0, "stale": 0, "withdrawals": 0, "fields": 0}
Purposes = Mapping[str, Purpose | None]
"""What a list is for: a purpose by its key, None for a tracking switch."""
Answers = dict[str, ListState]
"""What became of one row, by purpose or switch."""


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Rows that are written together. `proved` is what an earlier run recorded, by job; `keys` those used so far."""

    purposes: Purposes
    proved: dict[str, Answers] = field(default_factory=dict)
    keys: dict[Owner, DataKey] = field(default_factory=dict)

    def answers(self, doc: Doc | None, grant: ListGrant) -> Answers:
        """What becomes of what is not recorded yet."""
        proved = self.proved.get(grant.job, ())
        return {key: judge(doc, grant, key, one) for key, one in self.purposes.items() if key not in proved}

    def all_answers(self, answers: Mapping[str, Answers], grants: Sequence[ListGrant]) -> list[Answers]:
        """These, with what is recorded, in the order of the grants."""
        if not self.proved:
            return [answers[grant.job] for grant in grants]
        return [answers[grant.job] | self.proved.get(grant.job, {}) for grant in grants]


@dataclass(frozen=True, slots=True)
class Granted:
    """Rows whose persons are written: `answers` by job."""

    grants: Sequence[ListGrant]
    answers: Mapping[str, Answers]
    chunk: _Chunk


class Imports:
    """Records what a list permits. All methods raise `Unavailable`, `NoKey` or `Altered`; then run the list again."""

    def __init__(self, mongo: Mongo, vault: Vault, blind: Blind) -> None:
        self._mongo = mongo
        self._persons = mongo["persons"]
        self._rows = mongo["permissions"]
        self._proofs = Proofs(mongo, vault)
        self._batches = Batches(mongo)
        self._receipts = mongo["withdrawals"]
        self._vault = vault
        self._blind = blind

    async def preview(self, grants: Sequence[ListGrant], purposes: Purposes) -> list[Answers]:
        """What would become of each grant by what is recorded now. Nothing changes."""
        chunk = _Chunk(purposes)
        docs = await self._read(grants, chunk)
        return chunk.all_answers({g.job: chunk.answers(docs.get(g.subject), g) for g in grants}, grants)

    async def grant(self, grants: Sequence[ListGrant], purposes: Purposes) -> Granted:
        """Write the persons, each named once among `grants`. Their proofs are still to be kept: `prove`.

        Nothing else of the list may touch these persons before: an import that runs again could not tell it apart.
        """
        chunk = _Chunk(purposes)
        answers: dict[str, Answers] = {}
        # What shares a page of an index is written together.
        await self._grant(sorted(grants, key=lambda grant: grant.subject), answers, chunk)
        return Granted(grants, answers, chunk)

    async def _grant(self, left: Sequence[ListGrant], answers: dict[str, Answers], chunk: _Chunk) -> None:
        for _ in range(_TRIES):
            if not left:
                return
            docs = await self._read(left, chunk)
            answers.update({grant.job: chunk.answers(docs.get(grant.subject), grant) for grant in left})
            left = [g for g in left if new_states(docs.get(g.subject), g, answers[g.job])]
            if left:
                open_still = await self._write(left, docs, answers, chunk)
                left = [grant for grant in left if grant.job in open_still]
        raise Unavailable("contention")

    async def _write(
        self, grants: Sequence[ListGrant], docs: Mapping[str, Doc], answers: Mapping[str, Answers], chunk: _Chunk
    ) -> set[str]:
        """Write what is new; the jobs of which nobody knows yet whether they came in time: they are read again."""
        await self._unlock(grants, docs, chunk)
        new = [grant for grant in grants if grant.subject not in docs]
        known = [grant for grant in grants if grant.subject in docs]
        late: set[int] = set()
        if new:
            late = _taken(await self._persons.insert_many([self._new(g, answers[g.job], chunk) for g in new]))
        if known:
            changes = [(docs[g.subject], self._changed(g, docs[g.subject], answers[g.job], chunk)) for g in known]
            _taken(await self._persons.bulk([UpdateOne(unchanged(doc), {"$set": fields}) for doc, fields in changes]))
        return {grant.job for grant in known} | {new[place].job for place in late}

    async def _unlock(self, grants: Sequence[ListGrant], docs: Mapping[str, Doc], chunk: _Chunk) -> None:
        """Have the keys at hand that these grants are written with; of those who are new, they are made now."""
        wanted = [(grant.subject, group) for grant in grants for group in ("contact", "evidence")]
        missing = [owner for owner in wanted if owner not in chunk.keys]
        known, fresh_ones = [o for o in missing if o[0] in docs], [o for o in missing if o[0] not in docs]
        chunk.keys.update(await self._vault.many_or_new(known, fresh_ones))

    def _new(self, grant: ListGrant, answers: Answers, chunk: _Chunk) -> Doc:
        """A new person's document."""
        said = {"seq": 1, "permissions": permissions_of(grant, answers, 1)}
        return fresh(grant.subject, random_octets(PID_BYTES)) | self._contact(grant, chunk) | said

    def _changed(self, grant: ListGrant, doc: Doc, answers: Answers, chunk: _Chunk) -> Doc:
        """What a known person's document gets: never another address, and never another website's name for one."""
        seq = doc["seq"] + 1
        said = permissions_of(grant, new_states(doc, grant, answers), seq)
        contact = self._contact(grant, chunk) if doc.get("contact") is None else {}
        fields: Doc = {name: value for name, value in contact.items() if name not in doc}
        return fields | {f"permissions.{name}": state for name, state in said.items()} | {"seq": seq}

    def _contact(self, grant: ListGrant, chunk: _Chunk) -> Doc:
        return contact_doc(chunk.keys[grant.subject, "contact"], self._blind, grant.subject, grant.address, grant.ref)

    async def prove(self, granted: Granted) -> list[Answers]:
        """Keep the proof of each answer that stands, under the person's key of `evidence`; what became of each row."""
        grants, answers, keys = granted.grants, granted.answers, granted.chunk.keys
        standing = [(g, key, state) for g in grants for key, state in answers[g.job].items() if state != "kept"]
        owners = {owner for grant, _, _ in standing if (owner := (grant.subject, "evidence")) not in keys}
        keys.update(await self._vault.many_or_new(sorted(owners)))
        shown = {proven: clear(proven) for proven in {grant.proven for grant, _, _ in standing}}
        for words in {proven.words for proven in shown if proven.words is not None}:
            await self._proofs.keep_words(words)
        rows: list[Doc] = []
        for grant, key, state in standing:
            name, person = row_id(grant, key), grant.subject
            row: Doc = {"_id": name, "person": person, "purpose": key, "action": state, "at": grant.at}
            proof = keys[person, "evidence"].encrypt(grant.proof, person, "permissions", name)
            rows.append({**row, **shown[grant.proven], "proof": proof})
        rows.sort(key=lambda row: row["_id"])
        for start in range(0, len(rows), _BATCH):
            await self._batches.commit("permissions", rows[start : start + _BATCH])
        if rows:
            _taken(await self._rows.insert_many(rows))
        return granted.chunk.all_answers(answers, grants)

    async def receipts(self, jobs: Sequence[str]) -> dict[str, Doc]:
        """The receipts of those of these noes that have one already, by job."""
        return {doc["_id"]: doc for doc in await self._receipts.find({"_id": {"$in": list(jobs)}})}

    async def _read(self, grants: Sequence[ListGrant], chunk: _Chunk) -> dict[str, Doc]:
        """The documents of those who are there, and what of their rows an earlier run of the same list recorded.

        Proofs come after the persons: who is not there has none.
        """
        if not grants:
            return {}
        subjects = [grant.subject for grant in grants]
        docs = {doc["_id"]: doc for doc in await self._persons.find({"_id": {"$in": subjects}}, _READ)}
        looked = [grant for grant in grants if grant.subject in docs and grant.job not in chunk.proved]
        if looked:
            chunk.proved.update({grant.job: {} for grant in looked})
            names = [row_id(grant, key) for grant in looked for key in chunk.purposes]
            for row in await self._rows.find({"_id": {"$in": names}}, {"action": 1, "purpose": 1}):
                chunk.proved[row["_id"].partition(":")[0]][row["purpose"]] = row["action"]
        return docs


def row_id(grant: ListGrant, key: str) -> str:
    """The id of the proof of one answer: the same in every run of the same list."""
    return f"{grant.job}:{key}"


def _taken(result: Bulk) -> set[int]:
    """The places of what is there already. Raises `Unavailable` when nobody knows, ValueError for anything else."""
    if not result.sure:
        raise Unavailable("import")
    if strange := sorted(set(result.failed.values()) - {DUPLICATE}):
        raise ValueError(f"the store refused a row of a list (code {strange[0]})")
    return set(result.failed)
