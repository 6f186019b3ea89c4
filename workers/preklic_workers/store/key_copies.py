"""Backups of the wrapped keys: a file of BSON documents as `mongodump` writes it, and a manifest with its SHA-256.

A copy counts only with its manifest, which is written last. It is tried by restoring it elsewhere before anything is
done on the strength of it.
"""

import datetime as dt
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Final

import bson
import msgspec
from bson.codec_options import CodecOptions
from bson.errors import BSONError

from preklic_workers.durable import replace, sync
from preklic_workers.store.mongo import Doc, Mongo, Unavailable
from preklic_workers.store.vault import PAGE, Vault

Tell = Callable[[int], None]
_CHUNK: Final = 1 << 20
_MANIFEST_LIMIT: Final = 64 * 1024
_OPTIONS: Final[CodecOptions[Doc]] = CodecOptions(tz_aware=True, tzinfo=dt.UTC)


class BadCopy(Exception):
    """A copy is not what its manifest says, or does not open; the message names the file."""


class Copy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One backup: `epochs` is the current epoch of each group when it was made; times are in UTC."""

    name: str
    documents: int
    sha256: str
    epochs: dict[str, int]
    made: dt.datetime


def copies(folder: Path) -> list[Copy]:
    """The complete copies in `folder`, the oldest first. Raises BadCopy."""
    return [_manifest(path) for path in sorted(folder.glob("keys-*.json"))]


async def write(vault: Vault, folder: Path, epochs: Mapping[str, int], now: dt.datetime, tell: Tell) -> Copy:
    """Copy all wrapped keys into a new file (mode 600), durably. Raises `Unavailable`."""
    name = f"keys-{now:%Y%m%d-%H%M%S-%f}"
    new, digest, count = folder / f".{name}.new", hashlib.sha256(), 0
    with _created(new) as file:
        async for docs in vault.pages():
            data = b"".join(bson.encode(doc) for doc in docs)
            digest.update(data)
            file.write(data)
            count += len(docs)
            tell(count)
        file.flush()
        os.fsync(file.fileno())
    new.replace(folder / f"{name}.bson")
    copy = Copy(name, count, digest.hexdigest(), dict(epochs), now)
    replace(folder / f"{name}.json", msgspec.json.encode(copy, order="sorted"))
    return copy


async def prove(mongo: Mongo, vault: Vault, folder: Path, copy: Copy, tell: Tell) -> None:
    """Restore the copy into a scratch database, compare every document and open every key; drop the scratch.

    Raises BadCopy, `Unavailable`.
    """
    scratch = mongo.scratch()
    await mongo.drop_scratch()
    try:
        for page in paged(read(folder, copy)):
            if not (await scratch.insert_many(page)).sure:
                raise Unavailable("scratch")
        last: Doc = {}
        count = 0
        for page in paged(read(folder, copy)):
            found = await scratch.find(last, sort=[("_id", 1)], limit=len(page))
            if not same(page, found) or not all(vault.opens(doc) for doc in found):
                raise BadCopy(f"{copy.name}: what comes back is not what was written; make a new one")
            last = {"_id": {"$gt": page[-1]["_id"]}}
            count += len(page)
            tell(count)
        if count != copy.documents or await scratch.count({}) != count:
            raise BadCopy(f"{copy.name}: {count} documents come back of {copy.documents}; make a new one")
    finally:
        await mongo.drop_scratch()


def same(written: list[Doc], found: list[Doc]) -> bool:
    """Whether each document came back as it was written."""
    return [bson.encode(doc) for doc in written] == [bson.encode(doc) for doc in found]


def read(folder: Path, copy: Copy) -> Iterator[Doc]:
    """The documents of a copy in the order of their ids, once its digest is found right. Raises BadCopy."""
    path = folder / f"{copy.name}.bson"
    try:
        with path.open("rb") as file:
            digest = hashlib.sha256()
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
            if digest.hexdigest() != copy.sha256:
                raise BadCopy(f"{path}: is not what its manifest says; use another copy")
            file.seek(0)
            yield from bson.decode_file_iter(file, _OPTIONS)
    except (OSError, BSONError) as error:
        raise BadCopy(f"{path}: cannot be read ({type(error).__name__}); use another copy") from None


def paged(docs: Iterator[Doc], size: int = PAGE) -> Iterator[list[Doc]]:
    """The documents by so many."""
    page: list[Doc] = []
    for doc in docs:
        page.append(doc)
        if len(page) == size:
            yield page
            page = []
    if page:
        yield page


def drop(folder: Path, copy: Copy) -> None:
    """Delete a copy."""
    (folder / f"{copy.name}.json").unlink(missing_ok=True)
    (folder / f"{copy.name}.bson").unlink(missing_ok=True)
    sync([folder])


def drop_rests(folder: Path) -> None:
    """Delete what a killed process left: copies without a manifest."""
    whole = {path.stem for path in folder.glob("keys-*.json")}
    for path in [*folder.glob("keys-*.bson"), *folder.glob(".keys-*.new")]:
        if path.stem not in whole:
            path.unlink()


def _created(path: Path) -> IO[bytes]:
    path.parent.mkdir(mode=0o700, exist_ok=True)
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")


def _manifest(path: Path) -> Copy:
    try:
        copy = msgspec.json.decode(path.read_bytes()[:_MANIFEST_LIMIT], type=Copy)
    except (OSError, msgspec.DecodeError) as error:
        raise BadCopy(
            f"{path}: is no manifest ({type(error).__name__}); delete it or put the right one there"
        ) from None
    if copy.name != path.stem:
        raise BadCopy(f"{path}: is the manifest of another copy; delete it")
    return copy
