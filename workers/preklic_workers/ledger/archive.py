"""An archive whose octets have one form. Standard library alone: a part of every bundle's verify.py.

It is a ZIP of stored files in the order of their names, each with the same fixed date and attributes (APPNOTE 6.3.3):
whoever changes one octet, of a file or of what describes it, makes another archive.
"""

import io
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from preklic_workers.ledger.verify import Altered

MOST_OCTETS: Final = 200_000_000
MOST_FILES: Final = 0xFFFF
_DATE: Final = (1 << 5) | 1  # the first of January 1980, midnight
_LOCAL: Final = "<IHHHHHIIIHH"
_HEADER: Final = 30  # octets of it
_CENTRAL: Final = "<IHHHHHHIIIHHHHHII"
_END: Final = "<IHHHHIIH"


def archive(files: Mapping[str, bytes]) -> bytes:
    """The one archive of these files: at most 65,535. Names are plain ASCII."""
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
    """The files of an archive in its one form; whatever else a ZIP may be is refused, and never unpacked."""
    files = dict(_stored(octets)) if len(octets) <= MOST_OCTETS else {}
    if len(octets) > MOST_OCTETS or len(files) > MOST_FILES:
        raise Altered("the archive: too large")
    if archive(files) == octets:
        return files
    raise Altered(f"the archive: not in its one form, at {_named(octets)}")


def _stored(octets: bytes) -> Iterator[tuple[str, bytes]]:
    """What stands in front of the directory, as far as it can be read. A name that is not ASCII becomes another."""
    place = 0
    while octets[place : place + 4] == b"PK\x03\x04" and place + _HEADER <= len(octets):
        *_, size, _, length, extra = struct.unpack_from(_LOCAL, octets, place)
        start = place + _HEADER + length
        yield octets[place + _HEADER : start].decode("ascii", "ignore"), octets[start : start + size]
        place = start + extra + size


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
            start += _HEADER + len(named) + said[8]
    except struct.error:
        pass
    return "its directory"


def _damaged(octets: bytes, start: int, said: Sequence[int], named: bytes) -> str | None:
    """Which description of the file at `start` is wrong: its own, or what the directory says; None: neither."""
    _, *own = struct.unpack_from(_LOCAL, octets, start)
    first = start + _HEADER + own[8]
    name, held = octets[start + _HEADER : first], octets[first : first + own[7]]
    fits = (20, 0, 0, 0, _DATE, zlib.crc32(held), len(held), len(held), len(name), 0)
    if octets[start:first] != struct.pack(_LOCAL, 0x04034B50, *fits) + name:
        return named.decode("ascii", "replace")
    if tuple(own) != tuple(said):
        return "its directory"
    return None if name == named else f"{named.decode('ascii', 'replace')}, or its directory"
