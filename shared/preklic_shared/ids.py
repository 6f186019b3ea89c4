"""Job ids, chosen before anything is published (law 2)."""

import hashlib
import time
import uuid

from preklic_shared.randomness import random_octets

_OCTETS = 16
# What an octet of a digest becomes where a UUID has its version, and where it has its variant.
_VERSION_5 = [bytes([0x50 | octet & 0x0F]) for octet in range(256)]
_VARIANT = [bytes([0x80 | octet & 0x3F]) for octet in range(256)]
_JOBS = uuid.UUID("5e0f54a5-9d5c-5b7e-8a38-6d2b9f1c7a10")


def new_id() -> str:
    """A fresh UUIDv7 (RFC 9562, section 5.7) as text: 48 bits of Unix milliseconds, then random bits."""
    millis = time.time_ns() // 1_000_000
    random = int.from_bytes(random_octets(10), "big")
    value = (millis & (1 << 48) - 1) << 80 | 7 << 76 | (random >> 68) << 64 | 2 << 62 | random & (1 << 62) - 1
    return text_of(value.to_bytes(16, "big"))


def floor_of(millis: int) -> str:
    """Smaller than the text of every `new_id` since that moment (Unix milliseconds), and greater than of those before.

    >>> floor_of(1_000) <= new_id()
    True
    """
    return text_of((millis << 80).to_bytes(16, "big"))


def text_of(octets: bytes) -> str:
    """The 16 octets of a UUID as text, for a third of what `uuid.UUID` takes.

    >>> text_of(bytes(range(16)))
    '00010203-0405-0607-0809-0a0b0c0d0e0f'
    """
    digits = octets.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def octets_of(text: str) -> bytes:
    """The 16 octets of a UUID's text, for a tenth of what `uuid.UUID` takes; ValueError for what is none.

    >>> octets_of("00010203-0405-0607-0809-0a0b0c0d0e0f") == bytes(range(16))
    True
    """
    try:
        octets = bytes.fromhex(text.replace("-", ""))
    except ValueError:
        octets = b""
    if len(octets) != _OCTETS:
        raise ValueError("no UUID")
    return octets


def named(space: bytes, name: str) -> str:
    """The UUIDv5 (RFC 9562, section 5.5) of a name in a space (16 octets) as text, for a fifth of what `uuid` takes.

    >>> named(uuid.NAMESPACE_DNS.bytes, "primer.example") == str(uuid.uuid5(uuid.NAMESPACE_DNS, "primer.example"))
    True
    """
    digest = hashlib.sha1(space + name.encode(), usedforsecurity=False).digest()
    return text_of(digest[:6] + _VERSION_5[digest[6]] + digest[7:8] + _VARIANT[digest[8]] + digest[9:16])


def numbered(space: bytes, number: int) -> str:
    """A UUIDv8 (RFC 9562, section 5.8) as text: 32 bits of a space (16 octets), a number (below 2^42), 48 more bits.

    In the order of their texts as in that of their numbers: what is written in this order stands side by side in an
    index, where names would be all over it.

    >>> numbered(bytes(range(16)), 1) < numbered(bytes(range(16)), 2)
    True
    """
    parts = number >> 26, 0x8000 | number >> 14 & 0xFFF, 0x8000 | number & 0x3FFF
    return f"{space[:4].hex()}-%04x-%04x-%04x-{space[10:].hex()}" % parts


def job_id_for(producer: str, idempotency_key: str) -> str:
    """The UUIDv5 of producer and idempotency key: the same request has the same id on every gateway."""
    return named(_JOBS.bytes, f"{producer}\0{idempotency_key}")


def is_id(text: object) -> bool:
    """Whether `text` is a job id in canonical form (36 characters, lower case)."""
    try:
        # AMQP's short strings need not be UTF-8, and pika then leaves them bytes.
        return isinstance(text, str) and str(uuid.UUID(text)) == text
    except ValueError:
        return False
