"""Time stamps of an authority (RFC 3161) over the ledger's heads: what is asked, and which answer is believed. Pure.

The stamp is over the SHA-256 of the note's octets, its signatures included. ASN.1, the signature and the chain are
checked by `rfc3161-client`; what it leaves to its caller is checked here.
"""

import datetime as dt
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from rfc3161_client import (
    HashAlgorithm,
    TimeStampRequest,
    TimestampRequestBuilder,
    TimeStampResponse,
    VerificationError,
    VerifierBuilder,
    decode_timestamp_response,
)

from preklic_workers.ledger.signers import names_its_signer

MOST_OCTETS: Final = 64 * 1024
"""Of an answer: with a chain of four certificates it has about 8,000."""
MOST_CHAIN: Final = 100_000
"""Characters of the file of certificates."""
SKEW: Final = dt.timedelta(minutes=5)
"""So far the authority's clock and ours may be apart."""
_SHA256: Final = "2.16.840.1.101.3.4.2.1"


class Refused(Exception):
    """An answer that is not believed; why: `form`, `status`, `imprint`, `nonce`, `untrusted`, `signer` or `time`."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the time stamp is not believed: {reason}")
        self.reason = reason


class BadChain(ValueError):
    """The file of the authority's certificates cannot be used; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Trust:
    """The certificates that stamps are believed by, and the same as text (PEM)."""

    roots: Sequence[x509.Certificate]
    pem: str


def trust_in(pem: bytes) -> Trust:
    """The certificates of a PEM file. Raises BadChain."""
    if len(pem) > MOST_CHAIN:
        raise BadChain(f"the authority's certificates have more than {MOST_CHAIN} octets; keep its own chain alone")
    try:
        return Trust(x509.load_pem_x509_certificates(pem), pem.decode("ascii"))
    except ValueError:
        raise BadChain("the authority's certificates cannot be read: it takes a file in PEM, its root in it") from None


def question(note: str) -> TimeStampRequest:
    """What to ask for this note: with a nonce of 64 bits or more, and with the signer's certificate in the answer."""
    builder = TimestampRequestBuilder().data(note.encode()).hash_algorithm(HashAlgorithm.SHA256)
    return builder.nonce(nonce=True).cert_request(cert_request=True).build()


def accepted(octets: bytes, note: str, trust: Trust, nonce: int | None, now: dt.datetime) -> dt.datetime:
    """The time that this fresh answer says. Raises Refused."""
    response = _decoded(octets)
    if (fault := fault_in(response, note, trust, nonce)) is not None:
        raise Refused(fault)
    said = response.tst_info.gen_time
    if abs(said - now) > SKEW:
        raise Refused("time")
    return said


def stamped_at(octets: bytes, note: str, trust: Trust) -> dt.datetime:
    """The time that a kept answer says, checked again with certificates as of that time. Raises Refused."""
    response = _decoded(octets)
    if (fault := fault_in(response, note, trust, None)) is not None:
        raise Refused(fault)
    return response.tst_info.gen_time


def fault_in(response: TimeStampResponse, note: str, trust: Trust, nonce: int | None) -> str | None:
    """Why this answer is not believed to be a stamp of the note, None when it is. `nonce`: what was asked, if known."""
    if response.status != 0:
        return "status"
    info, digest = response.tst_info, hashlib.sha256(note.encode()).digest()
    imprint = info.message_imprint
    if imprint.hash_algorithm.dotted_string != _SHA256 or not hmac.compare_digest(imprint.message, digest):
        return "imprint"
    if nonce is not None and info.nonce != nonce:
        return "nonce"
    try:
        # It checks the signature, the chain at the stamp's own time, and that its key is for time stamps alone.
        VerifierBuilder(roots=list(trust.roots), nonce=nonce).build().verify(response, digest)
    except (VerificationError, ValueError):
        return "untrusted"
    return None if names_its_signer(response.as_bytes(), response) else "signer"


def _decoded(octets: bytes) -> TimeStampResponse:
    if len(octets) > MOST_OCTETS:
        raise Refused("form")
    try:
        response = decode_timestamp_response(octets)
        if response.status == 0:
            _ = response.tst_info  # an answer may say yes and hold nothing
    except ValueError:
        raise Refused("form") from None
    return response
