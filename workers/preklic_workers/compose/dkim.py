"""DKIM signatures (RFC 6376; Ed25519: RFC 8463), relaxed/relaxed, put in front of a mail that was read back.

Every header that says something is covered once more often than it occurs, so that nobody can add a second one; with
List-Unsubscribe and List-Unsubscribe-Post, as RFC 8058 4 demands.
"""

import base64
import hashlib
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from msgspec.structs import replace

from preklic_workers.compose.mails import Mail
from preklic_workers.compose.verify import split_header
from preklic_workers.dkim_keys import DkimKey

COVERED: Final = (
    "From",
    "To",
    "Cc",
    "Reply-To",
    "Sender",
    "Subject",
    "Date",
    "Message-ID",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
    "List-Id",
    "Feedback-ID",
    "CFBL-Address",
    "CFBL-Feedback-ID",
    "Auto-Submitted",
)
_FOLDED: Final = re.compile(rb"[ \t\r\n]{2,}|[\t\r\n]")  # what is no single blank already
_LINE: Final = 72  # characters of a signature or of header names in one line


class Signers:
    """The keys by domain; a domain without one is not signed for."""

    def __init__(self, keys: Iterable[DkimKey] = ()) -> None:
        self._keys: dict[str, list[DkimKey]] = {}
        for key in keys:
            self._keys.setdefault(key.domain, []).append(key)

    def sign(self, mail: Mail, domain: str, at: int) -> Mail:
        """`mail` with a signature of each key of `domain` in front; `at` in seconds since 1970."""
        keys = self._keys.get(domain)
        if not keys:
            return mail
        head, _, body = mail.raw.partition(b"\r\n\r\n")
        headers = split_header(head)
        assert headers is not None  # it was read back before
        digest = base64.b64encode(hashlib.sha256(relaxed_body(body)).digest())
        return replace(mail, raw=b"".join([*(signature(key, headers, digest, at) for key in keys), mail.raw]))


def signature(key: DkimKey, headers: Sequence[tuple[str, bytes]], body_hash: bytes, at: int) -> bytes:
    """The field DKIM-Signature with its line end. `headers` are unfolded names and values, each name once."""
    there = {name.lower(): value for name, value in headers}
    names, listed = _covered(frozenset(there))
    unsigned = b"".join(
        [
            b"v=1; a=%s-sha256; c=relaxed/relaxed; d=%s;" % (key.kind.encode(), key.domain.encode()),
            b"\r\n\ts=%s; t=%d;\r\n\tbh=%s;\r\n\th=" % (key.selector.encode(), at, body_hash),
            listed,
            b";\r\n\tb=",
        ]
    )
    covered = [relaxed_header(name, there[name]) + b"\r\n" for name in names]
    covered.append(relaxed_header("dkim-signature", unsigned))
    signed = base64.b64encode(_sign(key, b"".join(covered)))
    pieces = [signed[start : start + _LINE] for start in range(0, len(signed), _LINE)]
    return b"DKIM-Signature: " + unsigned + b"\r\n\t ".join(pieces) + b"\r\n"


@lru_cache(maxsize=256)
def _covered(there: frozenset[str]) -> tuple[list[str], bytes]:
    """Of a mail with these headers: those that are signed, in order, and all that `h=` names, each once more."""
    names = [name.lower() for name in COVERED]
    listed = [name for name in names for _ in range(1 + (name in there))]
    return [name for name in names if name in there], _folded_names(listed)


def relaxed_header(name: str, value: bytes) -> bytes:
    """A field as RFC 6376 3.4.2 hashes it, without its line end. `name` is in lower case."""
    return name.encode("ascii") + b":" + _FOLDED.sub(b" ", value).strip(b" ")


def relaxed_body(body: bytes) -> bytes:
    r"""A body as RFC 6376 3.4.4 hashes it.

    >>> relaxed_body(b" C \r\nD \t E\r\n\r\n\r\n")
    b' C\r\nD E\r\n'
    """
    lines = body.replace(b"\t", b" ")
    while b"  " in lines:  # halves each run; three times as fast as a pattern
        lines = lines.replace(b"  ", b" ")
    lines = lines.replace(b" \r\n", b"\r\n").rstrip(b"\r\n")
    return lines + b"\r\n" if lines else b""


def _sign(key: DkimKey, covered: bytes) -> bytes:
    if isinstance(key.private, Ed25519PrivateKey):
        return key.private.sign(hashlib.sha256(covered).digest())
    return key.private.sign(covered, PKCS1v15(), SHA256())


def _folded_names(names: Sequence[str]) -> bytes:
    lines, line = [], ""
    for name in names:
        if len(line) + len(name) > _LINE:
            lines.append(line)
            line = ""
        line += f"{name}:"
    return "\r\n\t ".join([*lines, line.rstrip(":")]).encode("ascii")
