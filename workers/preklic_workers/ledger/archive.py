"""An archive whose octets have one form. Standard library alone: a part of every bundle's verify.py.

It is a ZIP of stored files in the order of their names, each with the same fixed date and attributes (APPNOTE 6.3.3):
whoever changes one octet, of a file or of what describes it, makes another archive.
"""

import io
import struct
import zipfile
import zlib
from collections.abc import Mapping
from typing import Final

from preklic_workers.ledger.verify import Altered

MOST_OCTETS: Final = 200_000_000
_DATE: Final = (1 << 5) | 1  # the first of January 1980, midnight
_LOCAL: Final = "<IHHHHHIIIHH"
_CENTRAL: Final = "<IHHHHHHIIIHHHHHII"


def archive(files: Mapping[str, bytes]) -> bytes:
    """The one archive of these files. Names are plain ASCII."""
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
    """The files of an archive in its one form."""
    try:
        with zipfile.ZipFile(io.BytesIO(octets)) as opened:
            if sum(one.file_size for one in opened.infolist()) > MOST_OCTETS:
                raise Altered("the archive: too large")
            files = {one.filename: opened.read(one) for one in opened.infolist()}
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


def _named(octets: bytes) -> str:
    """The file whose octets or description is damaged, as far as that can be told."""
    place = 0
    while octets[place : place + 4] == b"PK\x03\x04" and place + 30 <= len(octets):
        *_, crc, size, stored, length, extra = struct.unpack_from(_LOCAL, octets, place)
        name = octets[place + 30 : place + 30 + length]
        start = place + 30 + length + extra
        if zlib.crc32(octets[start : start + stored]) != crc or size != stored:
            return name.decode("ascii", "replace")
        place = start + stored
    return "its directory"
