"""A list to import, read strictly: CSV (RFC 4180) with a header, in UTF-8, one person to a row.

Every limit is here: what breaks one is refused with its line and a code, and nothing of the row is repeated. A no needs
an address only; a yes needs its proof: wording, source, language, and when it was given.
"""

import csv
import datetime as dt
import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import BinaryIO, Final, Literal

import msgspec

from preklic_shared.addresses import Address, BadAddress, parse
from preklic_shared.jobs import Proof
from preklic_workers.permission import CLOCK_DOUBT

MAX_RECORD: Final = 8_192  # octets of a row, and of a line
MAX_LINES: Final = 10  # of one row: a quote that never ends must not swallow the file
MAX_REF: Final = 200
NEEDED: Final = ("address",)
PROOF: Final = ("wording", "source", "language", "at")
COLUMNS: Final = (*NEEDED, *PROOF, "method", "ref", "state")
_BOM: Final = b"\xef\xbb\xbf"
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_EARLIEST: Final = dt.datetime(1990, 1, 1, tzinfo=dt.UTC)
_MILLI: Final = 1000  # microseconds
PROOFS: Final = 256  # that are remembered, of rows of 8 KiB at most


class BadFile(Exception):
    """The file is no list that can be read; the message says what its first line must be."""


Yes = Literal["granted", "pending"]
No = Literal["withdrawn", "objected"]


class RowYes(msgspec.Struct, frozen=True):
    """A yes with its proof; `at` is when it was given (UTC, whole milliseconds).

    `state` is what the list itself says, None where it leaves that to the purpose.
    """

    line: int
    address: Address
    at: dt.datetime
    proof: Proof
    state: Yes | None = None
    ref: str | None = None


class RowNo(msgspec.Struct, frozen=True):
    """A no, which needs no proof and has no date: it counts from now on."""

    line: int
    address: Address
    state: No


class RowRefused(msgspec.Struct, frozen=True):
    """A row that cannot be taken: its first line, and why."""

    line: int
    reason: str


Row = RowYes | RowNo | RowRefused


@dataclass(frozen=True, slots=True)
class _Layout:
    columns: tuple[str, ...]
    delimiter: str


def read(file: BinaryIO, now: dt.datetime) -> Iterator[Row]:
    """The rows of an open file in its order, in bounded memory. Raises BadFile before the first one."""
    lines = _Lines(file)
    layout = _layout(lines)
    while (record := _record(lines, layout.delimiter)) is not None:
        line, fields = record
        if isinstance(fields, str):
            yield RowRefused(line, fields)
        elif fields:
            yield row_of(line, fields, layout.columns, now)


def row_of(line: int, fields: Sequence[str], columns: Sequence[str], now: dt.datetime) -> Row:
    """One record as a row, or why it is refused. Pure."""
    if len(fields) != len(columns):
        return RowRefused(line, "columns")
    cell = dict(zip(columns, fields, strict=True))
    try:
        address = parse(cell["address"])
    except BadAddress as error:
        return RowRefused(line, f"address_{error.code}")
    match cell.get("state", ""):
        case "withdrawn" | "objected" as no:
            return RowNo(line, address, no)
        case "" | "granted" | "pending" as yes:
            return _yes(line, address, yes or None, cell, now)
        case _:
            return RowRefused(line, "state")


def _yes(
    line: int, address: Address, state: Yes | None, cell: Mapping[str, str], now: dt.datetime
) -> RowYes | RowRefused:
    proof = proof_of(cell, now)
    if isinstance(proof, str):
        return RowRefused(line, proof)
    ref = cell.get("ref") or None
    if ref is not None and len(ref) > MAX_REF:
        return RowRefused(line, "ref")
    return RowYes(line, address, proof[1], proof[0], state, ref)


def proof_of(cell: Mapping[str, str], now: dt.datetime) -> tuple[Proof, dt.datetime] | str:
    """What shows that this person said yes, and when; or what is missing (`proof_<column>`) or wrong."""
    for name in PROOF:
        if not cell.get(name, "").strip():
            return f"proof_{name}"
    proof = _said(cell["wording"], cell["source"], cell["language"], cell.get("method", ""))
    if isinstance(proof, str):
        return proof
    try:
        at = dt.datetime.fromisoformat(cell["at"])
    except ValueError:
        return "bad_at"
    if at.tzinfo is None:
        return "at_without_zone"
    return (proof, _whole(at)) if _EARLIEST <= at <= now + CLOCK_DOUBT else "at_out_of_range"


@lru_cache(PROOFS)
def _said(wording: str, source: str, language: str, method: str) -> Proof | str:
    """These cells as a proof, or what is wrong with them. Most rows of a list share theirs: it is one value."""
    said = {"wording": wording, "source": source, "language": language, "method": "import", "note": method}
    try:
        return msgspec.convert(said, Proof)
    except msgspec.ValidationError as error:
        place = re.search(r"`\$\.(\w+)`", str(error))
        return f"bad_{place[1]}" if place else "bad_proof"


def _whole(at: dt.datetime) -> dt.datetime:
    utc = at.astimezone(dt.UTC)
    finer = utc.microsecond % _MILLI
    return utc.replace(microsecond=utc.microsecond - finer) if finer else utc


class _Lines:
    """The lines of a file, each with its number; one that is too long is None, and is never held whole."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._number = 0
        self._back: deque[tuple[int, bytes | None]] = deque()

    def take(self) -> tuple[int, bytes | None] | None:
        if self._back:
            return self._back.popleft()
        line = self._file.readline(MAX_RECORD + 1)
        if not line:
            return None
        self._number += 1
        if len(line) <= MAX_RECORD:
            return self._number, line
        while line and not line.endswith(b"\n"):
            line = self._file.readline(MAX_RECORD)
        return self._number, None

    def give_back(self, lines: Sequence[tuple[int, bytes | None]]) -> None:
        self._back.extendleft(reversed(lines))


def _layout(lines: _Lines) -> _Layout:
    first = lines.take()
    try:
        text = ((first and first[1]) or b"").removeprefix(_BOM).decode().strip()
    except UnicodeDecodeError:
        raise BadFile("the first line is no UTF-8") from None
    delimiter = ";" if ";" in text else ","
    columns = tuple(name.strip().strip('"').lower() for name in text.split(delimiter))
    strange = sorted(set(columns) - set(COLUMNS))
    wanted = f"the first line names the columns: {','.join(COLUMNS)}"
    if strange or len(set(columns)) != len(columns):
        # A name is a word of the file's header; a file without one would show a person's data here.
        raise BadFile(f"{len(strange)} columns are unknown, or one is there twice; {wanted}")
    if "address" not in columns or ("state" not in columns and not set(PROOF) <= set(columns)):
        raise BadFile(f"address is missing, or a column of the proof; {wanted}")
    return _Layout(columns, delimiter)


def _record(lines: _Lines, delimiter: str) -> tuple[int, list[str] | str] | None:
    """The next record and its first line, or why it is none; a record with quotes may go over some lines."""
    first = lines.take()
    if first is None:
        return None
    line, raw = first
    if raw is None:
        return line, "too_long"
    if raw.count(b'"') % 2 == 0:
        return line, _fields(raw, delimiter)
    taken: list[tuple[int, bytes | None]] = []
    while len(taken) < MAX_LINES - 1 and (more := lines.take()) is not None:
        taken.append(more)
        if more[1] is None or len(raw) + len(more[1]) > MAX_RECORD:
            break
        raw += more[1]
        if more[1].count(b'"') % 2 and isinstance(fields := _fields(raw, delimiter), list):
            return line, fields
    # The quote ended nowhere near: this line is refused, and those after it are read for themselves.
    lines.give_back(taken)
    return line, "quote"


def _fields(raw: bytes, delimiter: str) -> list[str] | str:
    """The fields of a record, empty for an empty line; or `encoding`, `control` or `quote`."""
    try:
        text = raw.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        return "encoding"
    if _CONTROL.search(text):
        return "control"
    if '"' not in text:
        return text.split(delimiter) if text and "\r" not in text else ("control" if text else [])
    try:
        (fields,) = csv.reader([text], delimiter=delimiter, strict=True)
    except (csv.Error, ValueError):
        return "quote"
    return fields
