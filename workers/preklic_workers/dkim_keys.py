"""DKIM keys: each in a file named as its record in the DNS, `<selector>._domainkey.<domain>.pem` (PKCS #8).

A key that lies in the directory of the role `send` signs; so its record is published first, and the key put there then.
"""

import base64
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

Private: TypeAlias = RSAPrivateKey | Ed25519PrivateKey
Kind = Literal["rsa", "ed25519"]

_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
NAME: Final = re.compile(rf"(?P<selector>{_LABEL})\._domainkey\.(?P<domain>{_LABEL}(?:\.{_LABEL})+)\.pem")
RSA_BITS: Final = 2048
_MOST_BITS: Final = 4096  # a signature and a record that still fit where they must
_LIMIT: Final = 8192  # octets of a key file
_STRING: Final = 255  # octets of one string of a TXT record, RFC 1035 3.3.14


class NoDkimKey(ValueError):
    """The file holds no key that may sign; the message says why and shows nothing of it."""


@dataclass(frozen=True, slots=True, repr=False)
class DkimKey:
    """A private key for the mails of one domain."""

    selector: str
    domain: str
    private: Private

    @property
    def name(self) -> str:
        """Where its record stands in the DNS."""
        return f"{self.selector}._domainkey.{self.domain}"

    @property
    def file(self) -> str:
        """What its file is called."""
        return f"{self.name}.pem"

    @property
    def kind(self) -> Kind:
        """As in the record's `k=`."""
        return "rsa" if isinstance(self.private, RSAPrivateKey) else "ed25519"

    def pem(self) -> bytes:
        """What its file holds."""
        return self.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def record(self) -> str:
        """The TXT record's value (RFC 6376 3.6.1, RFC 8463 4.2), in strings of at most 255 octets for a zone file."""
        public = self.private.public_key()
        if self.kind == "rsa":
            octets = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        else:
            octets = public.public_bytes(Encoding.Raw, PublicFormat.Raw)
        value = f"v=DKIM1; k={self.kind}; p={base64.b64encode(octets).decode('ascii')}"
        return " ".join(f'"{value[start : start + _STRING]}"' for start in range(0, len(value), _STRING))


def read(path: Path) -> DkimKey:
    """The key in a file. Raises NoDkimKey: another name, no PKCS #8, another algorithm, or RSA below 2048 bits."""
    named = NAME.fullmatch(path.name)
    if named is None:
        raise NoDkimKey("is not named <selector>._domainkey.<domain>.pem")
    if path.stat().st_size > _LIMIT:
        raise NoDkimKey("is too large for a key")
    try:
        private = load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise NoDkimKey("holds no private key without a password (PKCS #8 in PEM)") from None
    if isinstance(private, RSAPrivateKey) and not RSA_BITS <= private.key_size <= _MOST_BITS:
        raise NoDkimKey(f"has {private.key_size} bits; receivers take {RSA_BITS} to {_MOST_BITS}")
    if not isinstance(private, RSAPrivateKey | Ed25519PrivateKey):
        raise NoDkimKey("is neither RSA nor Ed25519")
    return DkimKey(named["selector"], named["domain"], private)


def generate(domain: str, selector: str, kind: Kind) -> DkimKey:
    """A new key, in no file yet. Raises NoDkimKey for a name that the DNS would not take."""
    private: Private = Ed25519PrivateKey.generate() if kind == "ed25519" else generate_private_key(65537, RSA_BITS)
    key = DkimKey(selector, domain, private)
    if NAME.fullmatch(key.file) is None:
        raise NoDkimKey("selector and domain are labels in lower case: s2026a, lucrum.example")
    return key


def unsigned(domains: Iterable[str], keys: Iterable[DkimKey]) -> list[str]:
    """The domains that no key signs for."""
    signed = {key.domain for key in keys}
    return sorted(set(domains) - signed)
