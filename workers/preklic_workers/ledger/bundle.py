"""A bundle of evidence: an archive whose octets have one form, and what it must hold to be believed. Standard library.

The archive is a ZIP of stored files in the order of their names, each with the same fixed date and attributes
(APPNOTE 6.3.3): whoever changes one octet, of a file or of what describes it, makes another archive.
"""

import argparse
import base64
import hashlib
import io
import struct
import sys
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from preklic_workers.ledger.stamped import Stamped, check_stamps, stamp_lines
from preklic_workers.ledger.verify import (
    Altered,
    canonical,
    check_opening,
    leaf_hash,
    read_canonical,
    read_checkpoint,
    read_proof,
    root_by_inclusion,
)

MANIFEST: Final = "manifest.json"
MOST_OCTETS: Final = 200_000_000
TRUE, ALTERED, INCOMPLETE, NO_ANCHOR = 0, 1, 2, 3
_DATE: Final = (1 << 5) | 1  # the first of January 1980, midnight
_LOCAL: Final = "<IHHHHHIIIHH"
_CENTRAL: Final = "<IHHHHHHIIIHHHHHII"
_END: Final = "<IHHHHIIH"


class Shown(NamedTuple):
    """A record that the bundle proves: its place in the ledger, its kind, and its content, None where it is gone."""

    place: int
    kind: str
    content: Mapping[str, Any] | None


class Verdict(NamedTuple):
    """What a bundle shows. `gaps` in words; `anchored`: a key from outside the bundle signed its heads."""

    manifest: Mapping[str, Any]
    shown: Sequence[Shown]
    gaps: Sequence[str]
    anchored: bool
    stamps: Sequence[Stamped] = ()

    @property
    def code(self) -> int:
        """The exit code."""
        return NO_ANCHOR if not self.anchored else INCOMPLETE if self.gaps else TRUE


def archive(files: Mapping[str, bytes]) -> bytes:
    """The one archive of these files. Names are plain ASCII."""
    body, directory = io.BytesIO(), io.BytesIO()
    for name in sorted(files):
        octets, named, start = files[name], name.encode("ascii"), body.tell()
        said = (20, 0, 0, 0, _DATE, zlib.crc32(octets), len(octets), len(octets), len(named), 0)
        body.write(struct.pack(_LOCAL, 0x04034B50, *said) + named + octets)
        directory.write(struct.pack(_CENTRAL, 0x02014B50, 20, *said, 0, 0, 0, 0, start) + named)
    listed = directory.getvalue()
    end = struct.pack(_END, 0x06054B50, 0, 0, len(files), len(files), len(listed), body.tell(), 0)
    return body.getvalue() + listed + end


def read_archive(octets: bytes) -> dict[str, bytes]:
    """The files of an archive in its one form."""
    if len(octets) > MOST_OCTETS:
        raise Altered("the archive: too large")
    try:
        with zipfile.ZipFile(io.BytesIO(octets)) as opened:
            files = _stored(opened, len(octets))
        if archive(files) == octets:
            return files
    except (
        zipfile.BadZipFile,
        ValueError,
        OSError,
        NotImplementedError,
        RuntimeError,
        struct.error,
        EOFError,
    ) as error:
        raise Altered(f"the archive: {_named(octets)} cannot be read ({type(error).__name__})") from None
    raise Altered(f"the archive: not in its one form, at {_named(octets)}")


def _stored(opened: zipfile.ZipFile, most: int) -> dict[str, bytes]:
    """The files as they lie there: nothing is unpacked, and all together are no larger than the archive."""
    listed = opened.infolist()
    if any(one.compress_type != zipfile.ZIP_STORED for one in listed) or sum(one.file_size for one in listed) > most:
        raise zipfile.BadZipFile
    return {one.filename: opened.read(one) for one in listed}


def _named(octets: bytes) -> str:
    """The file whose octets or description is damaged: each is described twice, and one damage spares the other."""
    try:
        *_, count, _, place, _ = struct.unpack_from(_END, octets, len(octets) - struct.calcsize(_END))
        start = 0
        for _ in range(count):
            said = struct.unpack_from(_CENTRAL, octets, place)
            named = octets[place + 46 : place + 46 + said[10]]
            place += 46 + len(named)
            if said[-1] != start:
                break
            if (found := _damaged(octets, start, said[2:12], named)) is not None:
                return found
            start += 30 + len(named) + said[8]
    except struct.error:
        pass
    return "its directory"


def _damaged(octets: bytes, start: int, said: Sequence[int], named: bytes) -> str | None:
    """Which description of the file at `start` is wrong: its own, or what the directory says; None: neither."""
    _, *own = struct.unpack_from(_LOCAL, octets, start)
    name, first = octets[start + 30 : start + 30 + own[8]], start + 30 + own[8]
    held = octets[first : first + own[7]]
    fits = (20, 0, 0, 0, _DATE, zlib.crc32(held), len(held), len(held), len(name), 0)
    if octets[start:first] != struct.pack(_LOCAL, 0x04034B50, *fits) + name:
        return named.decode("ascii", "replace")
    if tuple(own) != tuple(said):
        return "its directory"
    return None if name == named else f"{named.decode('ascii', 'replace')}, or its directory"


def check(octets: bytes, anchors: Sequence[bytes] = ()) -> Verdict:
    """What this bundle shows. `anchors` are public keys of the ledger (32 octets) that you have from elsewhere."""
    files = read_archive(octets)
    manifest = read_canonical(_file(files, MANIFEST), MANIFEST)
    _whole(files, manifest)
    inside = [bytes.fromhex(key) for key in manifest["keys"]]
    keys = {manifest["ledger"]: list(anchors) or inside}
    shown, gaps = [], []
    for listed in manifest["leaves"]:
        shown.append(_leaf(files, listed, keys))
        if shown[-1].content is None:
            gaps.append(f"leaf {listed['place']}: its content is not here")
    return Verdict(manifest, shown, gaps, bool(anchors), check_stamps(files, keys))


def _whole(files: Mapping[str, bytes], manifest: Mapping[str, Any]) -> None:
    listed = manifest["files"]
    if strange := sorted(set(files) - set(listed) - {MANIFEST}):
        raise Altered(f"{strange[0]}: not listed")
    for name, digest in listed.items():
        if hashlib.sha256(_file(files, name)).hexdigest() != digest:
            raise Altered(f"{name}: not the listed file")


def _leaf(files: Mapping[str, bytes], listed: Mapping[str, Any], keys: Mapping[str, Sequence[bytes]]) -> Shown:
    place = listed["place"]
    octets = _file(files, f"leaves/{place}.json")
    leaf = read_canonical(octets, f"leaf {place}")
    stands, hashes, note = read_proof(_file(files, f"proofs/{place}.tlog-proof").decode(), f"proof {place}")
    head = read_checkpoint(note, keys, f"the checkpoint of proof {place}")
    if stands != place or root_by_inclusion(leaf_hash(octets), place, head.size, hashes) != head.root:
        raise Altered(f"leaf {place}: not in the ledger at this place")
    name = f"openings/{place}.json"
    if name not in files:
        return Shown(place, leaf["kind"], None)
    opening = read_canonical(files[name], f"opening {place}")
    check_opening(leaf, base64.b64decode(opening["salt"]), opening["content"], f"leaf {place}")
    return Shown(place, leaf["kind"], opening["content"])


def _file(files: Mapping[str, bytes], name: str) -> bytes:
    if name not in files:
        raise Altered(f"{name}: missing")
    return files[name]


def report(octets: bytes, anchors: Sequence[bytes]) -> tuple[int, list[str]]:
    """The exit code, and what to say."""
    try:
        verdict = check(octets, anchors)
    except Altered as altered:
        return ALTERED, [f"ALTERED: {altered}"]
    except (KeyError, TypeError, ValueError, AttributeError) as odd:
        return ALTERED, [f"ALTERED: the manifest or a record is not in its form ({type(odd).__name__})"]
    lines = [f"leaf {one.place}: {one.kind} {_text(one.content)}" for one in verdict.shown]
    lines += stamp_lines(verdict.stamps)
    lines += [f"INCOMPLETE: {gap}" for gap in verdict.gaps]
    if not verdict.anchored:
        lines.append("NO TRUST ANCHOR: all fits together, but give --key with the ledger's public key from elsewhere")
    return verdict.code, [*lines, f"{len(verdict.shown)} records are as they were signed"]


def _text(content: Mapping[str, Any] | None) -> str:
    return "(content erased)" if content is None else canonical(dict(content)).decode()


def main(arguments: Sequence[str] | None = None) -> int:
    """`python3 verify.py BUNDLE --key HEX`: 0 true, 1 altered, 2 incomplete, 3 no trust anchor."""
    parser = argparse.ArgumentParser(
        description="Check a bundle of evidence. 0 true, 1 altered, 2 incomplete, 3 no trust anchor."
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--key", action="append", default=[], help="the ledger's public key, 64 hex digits; may repeat")
    given = parser.parse_args(arguments)
    code, lines = report(given.bundle.read_bytes(), [bytes.fromhex(key) for key in given.key])
    sys.stdout.write("\n".join(lines) + "\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
