"""A time-stamping authority (RFC 3161) made with `openssl ts`, over HTTP on loopback, that can be told to misbehave."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from deploying import tool
from loopback import served
from preklic_workers.ledger.stamped import _TST_INFO, content_of, elements, inside, signed_data

CONFIG = """\
[req]
distinguished_name = name
[name]
[ca]
basicConstraints = critical,CA:true
keyUsage = critical,keyCertSign
subjectKeyIdentifier = hash
[tsa]
basicConstraints = critical,CA:false
keyUsage = critical,digitalSignature
extendedKeyUsage = critical,timeStamping
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[any]
basicConstraints = critical,CA:false
keyUsage = critical,digitalSignature
extendedKeyUsage = critical,timeStamping,serverAuth
[policy]
serial = serial
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
accuracy = secs:1
ess_cert_id_chain = no
ess_cert_id_alg = sha256
"""


def openssl(folder: Path, *words: str, given: bytes | None = None) -> bytes:
    """What `openssl` says; raises CalledProcessError with its complaint."""
    argv = [tool("openssl"), *words]
    return subprocess.run(argv, cwd=folder, input=given, capture_output=True, check=True, timeout=20).stdout


def make_authority(folder: Path, *, use: str = "tsa", days: int = 3650) -> Path:
    """A root and a certificate for `use` in this folder, `days` long; the root's file."""
    folder.mkdir(parents=True)
    (folder / "openssl.cnf").write_text(CONFIG, "utf-8")
    (folder / "serial").write_text("01\n", "utf-8")
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-config", "openssl.cnf")
    root = ("-x509", "-days", "3650", "-subj", "/CN=Test root", "-extensions", "ca")
    openssl(folder, "req", *key, *root, "-keyout", "ca.key", "-out", "ca.pem")
    openssl(folder, "req", *key, "-subj", "/CN=Test time stamps", "-keyout", "tsa.key", "-out", "tsa.csr")
    signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-extfile", "openssl.cnf", "-extensions", use, "-days", str(days))
    openssl(folder, "x509", "-req", "-in", "tsa.csr", *signed, "-set_serial", "7", "-out", "tsa.pem")
    return folder / "ca.pem"


def reply(folder: Path, query: bytes) -> bytes:
    """What the authority of this folder answers."""
    (folder / "query.tsq").write_bytes(query)
    signer = ("-signer", "tsa.pem", "-inkey", "tsa.key", "-tspolicy", "1.2.3.4.1")
    where = ("-config", "openssl.cnf", "-section", "policy")
    openssl(folder, "ts", "-reply", "-queryfile", "query.tsq", *where, *signer, "-out", "reply.tsr")
    return (folder / "reply.tsr").read_bytes()


def forged(folder: Path, sound: bytes, *words: str) -> bytes:
    """The same statement, signed with the key of this folder whatever its certificate is for."""
    (folder / "statement").write_bytes(inside(content_of(elements(signed_data(sound))[2][1], _TST_INFO), 4)[0])
    kind = ("-econtent_type", "1.2.840.113549.1.9.16.1.4", "-binary", "-nodetach", "-outform", "DER")
    signer = ("-signer", "tsa.pem", "-inkey", "tsa.key", "-in", "statement")
    granted = b"\x30\x03\x02\x01\x00" + openssl(folder, "cms", "-sign", *kind, *signer, *words)
    return b"\x30\x82" + len(granted).to_bytes(2, "big") + granted


@dataclass
class Authority:
    """It answers at `url`. `twist` changes its answers, a status with them; `asked` are the questions it got."""

    folder: Path
    url: str = ""
    twist: Callable[[bytes, bytes], bytes | int] | None = None
    asked: list[bytes] = field(default_factory=list)

    @property
    def root(self) -> Path:
        """The certificate that its stamps are believed by."""
        return self.folder / "ca.pem"

    def answer(self, query: bytes) -> bytes | int:
        """The octets, or a status alone."""
        self.asked.append(query)
        sound = reply(self.folder, query)
        return sound if self.twist is None else self.twist(query, sound)


@contextmanager
def authority_in(folder: Path) -> Iterator[Authority]:
    """A sound authority of its own, until the end."""
    make_authority(folder)
    made = Authority(folder)

    def answer(_path: str, query: bytes | None) -> tuple[int, bytes]:
        said = made.answer(query or b"")
        return (said, b"") if isinstance(said, int) else (200, said)

    with served(answer, "application/timestamp-reply") as address:
        made.url = f"{address}/tsa"
        yield made
