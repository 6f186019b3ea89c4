"""What a bundle's time stamps (RFC 3161) are of, with Python's standard library alone: a part of every verify.py.

It reads the imprint and the time; the authority's signature is for `openssl ts -verify`.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from preklic_workers.ledger.verify import Altered, read_checkpoint, text_in

_NAME: Final = re.compile(r"stamps/([1-9][0-9]{0,15})\.tsr")
_MOST_ELEMENTS: Final = 64
SEQUENCE, OID, _OCTETS, _TIME, _FIRST = 0x30, 0x06, 0x04, 0x18, 0xA0
_SIGNED_DATA: Final = bytes.fromhex("2a864886f70d010702")  # 1.2.840.113549.1.7.2
_TST_INFO: Final = bytes.fromhex("2a864886f70d0109100104")  # 1.2.840.113549.1.9.16.1.4
_SHA256: Final = bytes.fromhex("608648016503040201")  # 2.16.840.1.101.3.4.2.1


class Stamped(NamedTuple):
    """A stamp in a bundle: of the head of `size` leaves, with the authority's time as it is in it (20261127101500Z)."""

    size: int
    time: str


def check_stamps(files: Mapping[str, bytes], keys: Mapping[str, Sequence[bytes]]) -> list[Stamped]:
    """The stamps of this bundle. Raises Altered for one that is not of the signed head beside it."""
    found = []
    for name in sorted(files):
        if match := _NAME.fullmatch(name):
            size = int(match[1])
            note = files.get(f"stamps/{size}.note")
            if note is None:
                raise Altered(f"stamps/{size}.note: missing")
            if read_checkpoint(text_in(note, f"stamps/{size}.note"), keys, f"stamps/{size}.note").size != size:
                raise Altered(f"stamps/{size}.note: a head of another size")
            imprint, time = read_stamp(files[name], name)
            if imprint != hashlib.sha256(note).digest():
                raise Altered(f"{name}: a stamp of something else")
            found.append(Stamped(size, time))
    return found


def stamp_lines(stamps: Sequence[Stamped]) -> list[str]:
    """What to say of them."""
    return [
        f"stamp: the head of {one.size} leaves, of {one.time}; whether the authority signed it says openssl: "
        "see stamps/README.txt"
        for one in stamps
    ]


def read_stamp(octets: bytes, what: str) -> tuple[bytes, str]:
    """The imprint (SHA-256) and the time in a response of an authority (RFC 3161, 2.4.2). Raises Altered."""
    try:
        info = content_of(elements(signed_data(octets))[2][1], _TST_INFO)
        (text,) = inside(info, _OCTETS)
        (inner,) = inside(text, SEQUENCE)
        (_, _, (imprint_tag, imprint), _, (time_tag, time), *_) = elements(inner)
        (algorithm_tag, algorithm), (digest_tag, digest) = elements(imprint)
        tags = (imprint_tag, time_tag, algorithm_tag, digest_tag)
        if tags == (SEQUENCE, _TIME, SEQUENCE, _OCTETS) and elements(algorithm)[0] == (OID, _SHA256):
            return digest, time.decode("ascii")
    except (ValueError, IndexError):
        pass
    raise Altered(f"{what}: this is not a time stamp over SHA-256")


def signed_data(octets: bytes) -> bytes:
    """What the SignedData of the answer's token holds (RFC 5652, 5.1). Raises ValueError, IndexError."""
    (answer,) = inside(octets, SEQUENCE)
    _, (_, token) = elements(answer)
    (signed,) = inside(content_of(token, _SIGNED_DATA), SEQUENCE)
    return signed


def content_of(octets: bytes, kind: bytes) -> bytes:
    """What a ContentInfo of this kind holds (RFC 5652, 3)."""
    first, (tag, content) = elements(octets)
    if first != (OID, kind) or tag != _FIRST:
        raise ValueError("another kind")
    return content


def inside(octets: bytes, tag: int) -> list[bytes]:
    """The contents of elements that all have this tag."""
    found = elements(octets)
    if any(one != tag for one, _ in found):
        raise ValueError("another tag")
    return [content for _, content in found]


def elements(octets: bytes) -> list[tuple[int, bytes]]:
    """Tags and contents of the DER elements side by side (X.690): one octet of tag, lengths below 2**24."""
    found: list[tuple[int, bytes]] = []
    place = 0
    while place < len(octets):
        tag, length, start = octets[place], octets[place + 1], place + 2
        if length >= 128:
            count = length & 127
            length, start = int.from_bytes(octets[start : start + count], "big"), start + count
            if not 1 <= count <= 3:
                raise ValueError("a length of another form")
        place = start + length
        if place > len(octets) or len(found) == _MOST_ELEMENTS:
            raise ValueError("cut off, or too many")
        found.append((tag, octets[start:place]))
    return found
