"""Whether a time stamp names the certificate that signed it, as it must (RFC 3161, 2.4.2; RFC 5816). Pure.

`rfc3161-client` does not ask for it, and `openssl ts -verify` believes no stamp without.
"""

import hashlib
from typing import Final

from cryptography import x509
from rfc3161_client import TimeStampResponse

from preklic_workers.ledger.stamped import OID, SEQUENCE, elements, inside, signed_data

_SIGNED: Final = 0xA0
_BY_SHA1: Final = bytes.fromhex("2a864886f70d010910020c")  # signingCertificate, 1.2.840.113549.1.9.16.2.12
_BY_ANY: Final = bytes.fromhex("2a864886f70d010910022f")  # signingCertificateV2, 1.2.840.113549.1.9.16.2.47
_DIGESTS: Final = {
    bytes.fromhex("608648016503040201"): "sha256",
    bytes.fromhex("608648016503040202"): "sha384",
    bytes.fromhex("608648016503040203"): "sha512",
}


def names_its_signer(octets: bytes, response: TimeStampResponse) -> bool:
    """Whether the signed attributes hold the digest of the signer's certificate; `octets` are the response's own."""
    try:
        (signer,) = inside(elements(signed_data(octets))[-1][1], SEQUENCE)
        named = _named(next(content for tag, content in elements(signer) if tag == _SIGNED))
        (info,) = response.signed_data.signer_infos
        return any(
            (cert.issuer, cert.serial_number) == (info.issuer, info.serial_number)
            and hashlib.new(named[0], one).digest() == named[1]
            for one in response.signed_data.certificates
            for cert in [x509.load_der_x509_certificate(one)]
        )
    except (LookupError, ValueError, StopIteration):
        return False


def _named(attributes: bytes) -> tuple[str, bytes]:
    """The digest's name and the digest of the first certificate that an attribute names. Raises ValueError."""
    for attribute in inside(attributes, SEQUENCE):
        (tag, kind), (_, values) = elements(attribute)
        if tag == OID and kind in {_BY_SHA1, _BY_ANY}:
            (value,) = inside(values, SEQUENCE)
            first = elements(inside(inside(value, SEQUENCE)[0], SEQUENCE)[0])
            if kind == _BY_SHA1:
                return "sha1", first[0][1]
            if first[0][0] == SEQUENCE:  # another digest than SHA-256
                return _DIGESTS[elements(first[0][1])[0][1]], first[1][1]
            return "sha256", first[0][1]
    raise ValueError("it names nobody")
