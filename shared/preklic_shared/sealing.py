"""Sealing: what is personal in a job is readable by the one role that must act on it.

A content key is sealed with HPKE (RFC 9180: DHKEM(X25519), HKDF-SHA256, AES-256-GCM, base mode) and serves the jobs of
one producer and one role for a minute; under it each job is encrypted with AES-256-GCM and a random nonce, the clear
header as associated data, so that a header edited after sealing no longer opens. A sealed text is base64 of

    80 octets content key by HPKE | 12 octets nonce | ciphertext and tag

Producers get public keys in one signed file with an expiry:

    {"keys": {"<role>": {"id": "<key id>", "public": "<base64>"}}, "issued": ms, "expires": ms, "signature": "<base64>"}

signed with Ed25519 over the canonical JSON of everything but the signature. Private keys are files of 32 raw bytes
named `<key id>.x25519` in a role's key directory.
"""

import base64
import binascii
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from preklic_shared.job_fields import KeyId
from preklic_shared.randomness import random_octets
from preklic_shared.wire import strict_json

_SUITE = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
_INFO: Final = b"preklic content key"
_WRAPPED, _NONCE = 80, 12
# One HPKE operation costs what thirty jobs under a content key do; random nonces are safe far beyond so many.
_KEY_SECONDS, _KEY_JOBS = 60.0, 10_000
_MOST_KEYS: Final = 4096
_FILE_LIMIT = 64 * 1024


class SealingError(ValueError):
    """The file of public keys cannot be used: missing, altered, expired, or without the role's key."""


class KeyGone(Exception):
    """The private key that a job was sealed to is not in this role's directory (destroyed, or never there)."""


class Tampered(Exception):
    """The sealed text does not open under its clear header."""


class _PublicKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: KeyId
    public: bytes  # base64 in JSON


class _PublicFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    keys: dict[str, _PublicKey]
    issued: int
    expires: int
    signature: bytes


@dataclass(frozen=True, slots=True)
class _ContentKey:
    """A key of ours for many jobs: `wrapped` is what the role alone can open."""

    wrapped: bytes
    cipher: AESGCM
    until: float
    uses: Iterator[int]

    @classmethod
    def fresh(cls, public: X25519PublicKey) -> "_ContentKey":
        key = AESGCM.generate_key(256)
        wrapped = _SUITE.encrypt(key, public, _INFO)
        return cls(wrapped, AESGCM(key), time.monotonic() + _KEY_SECONDS, iter(range(_KEY_JOBS)))

    def encrypt(self, plain: bytes, header: bytes) -> bytes | None:
        """None when it has served its time."""
        if time.monotonic() > self.until or next(self.uses, None) is None:
            return None
        nonce = random_octets(_NONCE)
        return self.wrapped + nonce + self.cipher.encrypt(nonce, plain, header)


@dataclass(frozen=True, slots=True)
class Sealer:
    """The public side: seals a payload to a role. Safe in threads and after a fork; it opens its own jobs alone."""

    keys: Mapping[str, tuple[str, X25519PublicKey]]
    expires: int
    _content: dict[str, _ContentKey] = field(default_factory=dict, repr=False)

    @classmethod
    def load(cls, path: Path, pin: bytes | None = None) -> "Sealer":
        """Read and check the signed file. `pin` is the signer's Ed25519 public key (32 bytes), where one is set.

        Raises SealingError with what to do.
        """
        try:
            data = path.read_bytes()[:_FILE_LIMIT]
            public = msgspec.convert(strict_json(data), _PublicFile)
        except OSError:
            raise SealingError(f"cannot read {path}: ask operations for the current file of sealing keys") from None
        except ValueError:
            raise SealingError(f"{path} is not a file of sealing keys; fetch it again") from None
        if pin is not None:
            _check_signature(public, pin, path)
        keys = {role: (key.id, X25519PublicKey.from_public_bytes(key.public)) for role, key in public.keys.items()}
        return cls(keys, public.expires)

    def key_id(self, role: str) -> str:
        """The id of the key for `role`; it stands in the clear header. Raises SealingError, also after expiry."""
        if time.time() * 1000 > self.expires:
            raise SealingError("the file of sealing keys has expired: fetch the current one (preklic keys publish)")
        if role not in self.keys:
            raise SealingError(f"the file of sealing keys has none for the role {role}")
        return self.keys[role][0]

    def seal(self, role: str, header: bytes, payload: object) -> str:
        """`payload` (a Struct of `jobs`) sealed to `role` under `header`, as base64 text."""
        plain = msgspec.json.encode(payload)
        content = self._content.get(role)
        sealed = None if content is None else content.encrypt(plain, header)
        while sealed is None:
            content = self._content[role] = _ContentKey.fresh(self.keys[role][1])
            sealed = content.encrypt(plain, header)
        return base64.b64encode(sealed).decode()


@dataclass(frozen=True, slots=True)
class Opener:
    """The private side: the keys of one role, by key id. Content keys that were opened lately are kept."""

    keys: Mapping[str, X25519PrivateKey]
    _content: dict[tuple[str, bytes], AESGCM] = field(default_factory=dict, repr=False)

    @classmethod
    def load(cls, directory: Path) -> "Opener":
        """All `*.x25519` files of a role's key directory; modes and sizes are checked where directories are opened."""
        files = sorted(directory.glob("*.x25519"))
        return cls({file.stem: X25519PrivateKey.from_private_bytes(file.read_bytes()) for file in files})

    def open(self, key_id: str, header: bytes, sealed: str) -> bytes:
        """The payload's bytes. Raises KeyGone or Tampered."""
        if key_id not in self.keys:
            raise KeyGone
        try:
            octets = base64.b64decode(sealed, validate=True)
            nonce, text = octets[_WRAPPED : _WRAPPED + _NONCE], octets[_WRAPPED + _NONCE :]
            return self._cipher(key_id, octets[:_WRAPPED]).decrypt(nonce, text, header)
        except (InvalidTag, binascii.Error, ValueError):
            raise Tampered from None

    def _cipher(self, key_id: str, wrapped: bytes) -> AESGCM:
        known = self._content.get((key_id, wrapped))
        if known is None:
            known = AESGCM(_SUITE.decrypt(wrapped, self.keys[key_id], _INFO))
            if len(self._content) >= _MOST_KEYS:
                self._content.clear()
            self._content[key_id, wrapped] = known
        return known


def seal_once(public: bytes, plain: bytes, info: bytes) -> bytes:
    """`plain` sealed to the raw X25519 key `public` (32 bytes) by one HPKE operation, bound to `info`.

    Raises ValueError for what is no such key, also for a point of small order.
    """
    return _SUITE.encrypt(plain, X25519PublicKey.from_public_bytes(public), info)


def open_once(private: X25519PrivateKey, sealed: bytes, info: bytes) -> bytes:
    """What `seal_once` sealed to this key under this `info`. Raises Tampered."""
    try:
        return _SUITE.decrypt(sealed, private, info)
    except (InvalidTag, ValueError):
        raise Tampered from None


def sign_public_file(
    keys: Mapping[str, tuple[str, bytes]], signer: Ed25519PrivateKey, *, issued: int, expires: int
) -> bytes:
    """The file for producers: `keys` maps a role to key id and raw public key (32 bytes); times in ms."""
    body: dict[str, Any] = {
        "keys": {role: _PublicKey(key_id, public) for role, (key_id, public) in keys.items()},
        "issued": issued,
        "expires": expires,
    }
    body["signature"] = signer.sign(msgspec.json.encode(body, order="sorted"))
    return msgspec.json.format(msgspec.json.encode(body, order="sorted"))


def _check_signature(public: _PublicFile, pin: bytes, path: Path) -> None:
    body = {"keys": public.keys, "issued": public.issued, "expires": public.expires}
    try:
        Ed25519PublicKey.from_public_bytes(pin).verify(public.signature, msgspec.json.encode(body, order="sorted"))
    except InvalidSignature:
        raise SealingError(f"the signature of {path} is not by the pinned key: do not use it") from None
