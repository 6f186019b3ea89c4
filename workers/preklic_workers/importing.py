"""One list, from its file to the store: by chunks, in the order of the file and in bounded memory.

While some chunks are written the next one is read. Job ids follow from the file's digest and the line: running the same
list again, after a kill or for no reason at all, is one import.
"""

import asyncio
import hashlib
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import BinaryIO, Final, NamedTuple

import msgspec

from preklic_shared.ids import numbered
from preklic_shared.jobs import Proof
from preklic_shared.registry import Registry
from preklic_workers.blind import Blind
from preklic_workers.import_file import PROOFS, Row, RowNo, RowRefused, RowYes, read
from preklic_workers.import_noes import ListNo, ended_by, withdraw
from preklic_workers.proving import Proven, proven, unproven
from preklic_workers.store import Answers, Granted, ListGrant, Purposes, Store

CHUNK: Final = 3_000  # rows that are written together
TOGETHER: Final = 6  # chunks under way: while the database works on one, this process works on another
STRICTER: Final = "stricter_answer"
PRODUCER: Final = "import"  # who recorded these proofs
NOT_STOPPABLE: Final = "not_stoppable"
_IMPORTS: Final = uuid.UUID("4b3a57ce-4d6c-5f0f-9f29-0b6f7c2f1d55")
_DIGEST_PART: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Progress:
    """A chunk is done: how many octets of the file are, and which of its rows were not taken as they are."""

    octets: int
    refused: Sequence[RowRefused]


@dataclass(frozen=True, slots=True)
class Summary:
    """What became of the rows: `answers` by word, for each purpose; `refused` rows by reason."""

    rows: int
    answers: Counter[str]
    refused: Counter[str]


@dataclass(slots=True)
class _Chunk:
    """Rows as they were read, at most one of each person. What cannot be taken is in `refused` already.

    `lines` are those of `grants`.
    """

    octets: int = 0
    rows: int = 0
    grants: list[ListGrant] = field(default_factory=list)
    noes: list[ListNo] = field(default_factory=list)
    refused: list[RowRefused] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    persons: set[str] = field(default_factory=set)


class _UnderWay(NamedTuple):
    """A chunk that is being recorded, and the persons that nothing else may touch meanwhile."""

    persons: set[str]
    recorded: asyncio.Task[None]


class _Rows:
    """The rows of a file, the last of which can be given back."""

    def __init__(self, rows: Iterator[Row]) -> None:
        self._rows = rows
        self._back: Row | None = None

    def take(self) -> Row | None:
        row, self._back = self._back or next(self._rows, None), None
        return row

    def give_back(self, row: Row) -> None:
        self._back = row


class Import:
    """An import of one list for some purposes. `dry`: nothing changes, and rows are judged by what is recorded now."""

    def __init__(
        self, store: Store, registry: Registry, blind: Blind, purposes: Purposes, digest: str, *, dry: bool = False
    ) -> None:
        self._store = store
        self._registry = registry
        self._blind = blind
        self._purposes = purposes
        self._consents = [purpose for purpose in purposes.values() if purpose is not None]
        self._dry = dry
        self._ended = ended_by(sorted(purposes), registry)
        self._space = uuid.uuid5(_IMPORTS, f"{digest}\0{','.join(sorted(purposes))}").bytes
        self._shown = lru_cache(PROOFS)(self._show)
        self._answers: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        self._rows = 0

    async def run(self, file: BinaryIO, told: Callable[[Progress], None]) -> Summary:
        """Import it all. Raises BadFile and the store's Unavailable; what is recorded then stays, and counts."""
        rows = _Rows(read(file, self._store.mongo.now()))
        reading = asyncio.create_task(asyncio.to_thread(self._prepare, file, rows))
        under_way: deque[_UnderWay] = deque()
        try:
            while (chunk := await reading).rows:
                reading = asyncio.create_task(asyncio.to_thread(self._prepare, file, rows))
                # The rows of one person are recorded one after the other, as they stand in the list.
                while len(under_way) == TOGETHER or any(chunk.persons & one.persons for one in under_way):
                    await under_way.popleft().recorded
                before = under_way[-1].recorded if under_way else None
                recorded = asyncio.create_task(self._record(chunk, before, told))
                under_way.append(_UnderWay(chunk.persons, recorded))
            while under_way:
                await under_way.popleft().recorded
        finally:
            # A thread cannot be cut: the file must not be closed below it.
            await asyncio.gather(reading, *(one.recorded for one in under_way), return_exceptions=True)
        return Summary(self._rows, self._answers, self._refused)

    def _prepare(self, file: BinaryIO, rows: _Rows) -> _Chunk:
        """The next rows of the file, as what is written of them; an empty chunk at its end."""
        chunk = _Chunk()
        while chunk.rows < CHUNK and (row := rows.take()) is not None:
            if not self._take(row, chunk):
                rows.give_back(row)
                break
            chunk.rows += 1
        chunk.octets = file.tell()
        return chunk

    def _take(self, row: Row, chunk: _Chunk) -> bool:
        """Put the row into the chunk, unless another one of the same person is there."""
        if isinstance(row, RowYes):
            return self._take_yes(row, chunk)
        if isinstance(row, RowNo) and self._ended:
            return self._take_no(row, chunk)
        chunk.refused.append(RowRefused(row.line, NOT_STOPPABLE) if isinstance(row, RowNo) else row)
        return True

    def _take_yes(self, row: RowYes, chunk: _Chunk) -> bool:
        shown = self._shown(row.proof)
        if isinstance(shown, str):
            chunk.refused.append(RowRefused(row.line, shown))
            return True
        subject = self._first(row, chunk)
        if subject is None:
            return False
        plain, clear = shown
        chunk.lines.append(row.line)
        chunk.grants.append(
            ListGrant(self._job(row.line), subject, row.address, row.at, plain, clear, row.state, row.ref)
        )
        return True

    def _take_no(self, row: RowNo, chunk: _Chunk) -> bool:
        subject = self._first(row, chunk)
        if subject is None:
            return False
        chunk.noes.append(ListNo(self._job(row.line), subject, row.state))
        return True

    def _first(self, row: RowYes | RowNo, chunk: _Chunk) -> str | None:
        """The person of the row, who is in the chunk from now on; None where another row of the person is there."""
        subject = self._blind.subject(row.address)
        if subject in chunk.persons:
            return None
        chunk.persons.add(subject)
        return subject

    def _job(self, line: int) -> str:
        return numbered(self._space, line)

    def _show(self, proof: Proof) -> tuple[bytes, Proven] | str:
        """A proof as JSON, and what of it may stand in the clear; or why it proves nothing here."""
        no = unproven(proof, self._consents, self._registry)
        if no is not None:
            return no
        return msgspec.json.encode(proof), proven(proof, PRODUCER, self._registry, self._blind)

    async def _write(self, chunk: _Chunk) -> Granted | list[Answers]:
        imports = self._store.imports
        if self._dry:
            return await imports.preview(chunk.grants, self._purposes)
        granted = await imports.grant(chunk.grants, self._purposes)
        if chunk.noes:
            await withdraw(self._store, self._registry, chunk.noes, self._ended)
        return granted

    async def _prove(self, granted: Granted) -> list[Answers]:
        """Keep the proofs; of who was erased meanwhile nothing stays of them."""
        answers = await self._store.imports.prove(granted)
        erased = await self._store.erasures.among([grant.subject for grant in granted.grants])
        for subject, whole in erased.items():
            if whole:
                await self._store.persons.finish(subject)
                await self._store.erasures.finish(subject)
        return answers

    async def _record(self, chunk: _Chunk, before: asyncio.Task[None] | None, told: Callable[[Progress], None]) -> None:
        """Write the chunk and its proofs; it is told about after the one before it."""
        granted = await self._write(chunk)
        answers = granted if isinstance(granted, list) else await self._prove(granted)
        if before is not None:
            await before
        stricter = [
            RowRefused(line, STRICTER)
            for line, states in zip(chunk.lines, answers, strict=True)
            if "kept" in states.values()
        ]
        self._rows += chunk.rows
        self._answers.update(state for states in answers for state in states.values())
        self._answers.update(no.state for no in chunk.noes for _ in self._ended)
        self._refused.update(row.reason for row in chunk.refused)
        told(Progress(chunk.octets, sorted([*chunk.refused, *stricter], key=lambda row: row.line)))


def digest_of(file: BinaryIO) -> str:
    """The SHA-256 digest of an open file in hex; afterwards the file stands at its beginning."""
    digest = hashlib.sha256()
    while part := file.read(_DIGEST_PART):
        digest.update(part)
    file.seek(0)
    return digest.hexdigest()
