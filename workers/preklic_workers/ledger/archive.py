"""An archive whose octets have one form. Standard library alone: a part of every bundle's verify.py.

It is a ZIP of stored files in the order of their names, each with the same fixed date and attributes (APPNOTE 6.3.3):
whoever changes one octet, of a file or of what describes it, makes another archive.
"""

import io
import struct
import zlib
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from preklic_workers.ledger.verify import Altered

MOST_OCTETS: Final = 200_000_000
_MOST_FILES: Final = 0xFFFF
_DATE: Final = (1 << 5) | 1  # the first of January 1980, midnight
_LOCAL: Final = "<IHHHHHIIIHH"
_HEADER: Final = 30  # octets of it
_CENTRAL: Final = "<IHHHHHHIIIHHHHHII"


def archive(files: Mapping[str, bytes]) -> bytes:
    """The one archive of these files: at most 65,535. Names are plain ASCII."""
    body, directory = io.BytesIO(), io.BytesIO()
    for name in sorted(files):
        octets, named, start = files[name], name.encode("ascii"), body.tell()
        said = (20, 0, 0, 0, _DATE, zlib.crc32(octets), len(octets), len(octets), len(named), 0)
        body.write(struct.pack(_LOCAL, 0x04034B50, *said) + named + octets)
        directory.write(struct.pack(_CENTRAL, 0x02014B50, 20, *said, 0, 0, 0, 0, start) + named)
    listed = directory.getvalue()
    end = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, len(files), len(files), len(listed), body.tell(), 0)
    return body.getvalue() + listed + end


def read_archive(octets: bytes) -> dict[str, bytes]:
    """The files of an archive in its one form; whatever else a ZIP may be is refused, and never unpacked."""
    stored = list(_stored(octets)) if len(octets) <= MOST_OCTETS else None
    if stored is None or len(stored) > _MOST_FILES:
        raise Altered("the archive: too large")
    files = {one.name: one.octets for one in stored if one.name.isascii()}
    if archive(files) == octets:
        return files
    damaged = next((one.name for one in stored if zlib.crc32(one.octets) != one.crc), "its directory")
    raise Altered(f"the archive: not in its one form, at {damaged}")


class _Stored(NamedTuple):
    name: str
    octets: bytes
    crc: int


def _stored(octets: bytes) -> Iterator[_Stored]:
    """What stands in front of the directory, as far as it can be read."""
    place = 0
    while octets[place : place + 4] == b"PK\x03\x04" and place + _HEADER <= len(octets):
        *_, crc, size, _, length, extra = struct.unpack_from(_LOCAL, octets, place)
        start = place + _HEADER + length
        yield _Stored(octets[place + _HEADER : start].decode("ascii", "replace"), octets[start : start + size], crc)
        place = start + extra + size
