"""Ed25519 (RFC 8032, 5.1.7), also for machines without any library of cryptography: a part of every bundle's verify.py.

Without the library slow (some milliseconds) and not in constant time: it checks public things.
"""

import functools
import hashlib
import importlib
from typing import Any, Final

_P: Final = 2**255 - 19
_Q: Final = 2**252 + 27742317777372353535851937790883648493
_D: Final = -121665 * pow(121666, _P - 2, _P) % _P
_ROOT: Final = pow(2, (_P - 1) // 4, _P)
_Point = tuple[int, int, int, int]


@functools.lru_cache(1024)  # many proofs of a bundle end in one checkpoint
def ed25519(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether the key (32 octets) signed the message."""
    if len(public) != 32 or len(signature) != 64:
        return False
    return pure(public, message, signature) if _LIBRARY is None else _by_library(*_LIBRARY, public, message, signature)


def _by_library(key: Any, wrong: type[Exception], public: bytes, message: bytes, signature: bytes) -> bool:
    try:
        key.from_public_bytes(public).verify(signature, message)
    except (wrong, ValueError):
        return False
    return True


def _library() -> tuple[Any, type[Exception]] | None:
    """`cryptography`'s public key and its error, where it is there."""
    try:
        keys = importlib.import_module("cryptography.hazmat.primitives.asymmetric.ed25519")
        errors = importlib.import_module("cryptography.exceptions")
    except ImportError:  # a bare machine
        return None
    return keys.Ed25519PublicKey, errors.InvalidSignature


def pure(public: bytes, message: bytes, signature: bytes) -> bool:
    """The same by arithmetic alone; the lengths are right."""
    key, nonce = _point(public), _point(signature[:32])
    scalar = int.from_bytes(signature[32:], "little")
    if key is None or nonce is None or scalar >= _Q:
        return False
    digest = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % _Q
    left, right = _times(scalar, _BASE), _plus(nonce, _times(digest, key))
    return not (left[0] * right[2] - right[0] * left[2]) % _P and not (left[1] * right[2] - right[1] * left[2]) % _P


def _plus(one: _Point, other: _Point) -> _Point:
    a, b = (one[1] - one[0]) * (other[1] - other[0]) % _P, (one[1] + one[0]) * (other[1] + other[0]) % _P
    c, d = 2 * one[3] * other[3] * _D % _P, 2 * one[2] * other[2] % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _times(scalar: int, point: _Point) -> _Point:
    total: _Point = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            total = _plus(total, point)
        point, scalar = _plus(point, point), scalar >> 1
    return total


def _point(octets: bytes) -> _Point | None:
    y = int.from_bytes(octets, "little")
    sign, y = y >> 255, y & (2**255 - 1)
    if y >= _P:
        return None
    square = (y * y - 1) * pow(_D * y * y + 1, _P - 2, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P:
        x = x * _ROOT % _P
    if (x * x - square) % _P or (x == 0 and sign):
        return None
    x = _P - x if x & 1 != sign else x
    return x, y, 1, x * y % _P


_BASE: Final = _point((4 * pow(5, _P - 2, _P) % _P).to_bytes(32, "little")) or (0, 1, 1, 0)
_LIBRARY: Final = _library()
