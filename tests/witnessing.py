"""A witness (C2SP tlog-witness) over HTTP on loopback that checks what the specification says it must."""

import base64
import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from loopback import served
from preklic_workers.ledger.verify import Altered, Head, check_consistency, read_checkpoint

NAME = "witness.example/w1"
Answer = tuple[int, bytes]


@dataclass
class SigningWitness:
    """It trusts `keys` (by the log's name) and remembers a head of each log, at `url`. `forced`: its answer to all."""

    keys: dict[str, list[bytes]]
    url: str = ""
    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    known: dict[str, tuple[Head, str]] = field(default_factory=dict)
    forced: Answer | None = None
    asked: list[int] = field(default_factory=list)

    @property
    def public(self) -> bytes:
        return self.key.public_key().public_bytes_raw()

    @property
    def vkey(self) -> str:
        """Its key as others configure it."""
        coded = base64.b64encode(b"\x04" + self.public).decode()
        return f"{NAME}+{self._id.hex()}+{coded}"

    @property
    def _id(self) -> bytes:
        return hashlib.sha256(NAME.encode() + b"\n\x04" + self.public).digest()[:4]

    def line(self, note: str) -> str:
        """Its cosignature."""
        now, body = int(time.time()), note.rpartition("\n\n")[0] + "\n"
        signed = self.key.sign(f"cosignature/v1\ntime {now}\n{body}".encode())
        return f"— {NAME} {base64.b64encode(self._id + now.to_bytes(8, 'big') + signed).decode()}\n"

    def add(self, body: str) -> Answer:
        """`add-checkpoint`."""
        above, _, note = body.partition("\n\n")
        first, *lines = above.split("\n")
        old, origin = int(first.removeprefix("old ")), note.partition("\n")[0]
        self.asked.append(old)
        before = self.known.get(origin, (Head(origin, 0, b""), ""))[0]
        if (status := self._fault(old, before, lines, note)) is not None:
            return status, f"{before.size}\n".encode() if status == 409 else b""
        head = read_checkpoint(note, self.keys, "it")
        line = self.line(note)
        self.known[origin] = (head, note + line)
        return 200, line.encode()

    def _fault(self, old: int, before: Head, lines: list[str], note: str) -> int | None:
        if before.origin not in self.keys:
            return 404
        status = 403
        try:
            head = read_checkpoint(note, self.keys, "it")
            if old > head.size or old != before.size:
                return 400 if old > head.size else 409
            status = 422
            check_consistency(before, head, [base64.b64decode(line, validate=True) for line in lines])
        except Altered:
            return status
        return 422 if old == 0 and lines else None

    def last(self, digest: str) -> Answer:
        """The last head that it signed of the log whose name has this digest."""
        for origin, (_, note) in self.known.items():
            if hashlib.sha256(origin.encode()).hexdigest() == digest:
                return 200, note.encode()
        return 404, b""


@contextmanager
def witness_of(keys: dict[str, list[bytes]]) -> Iterator[SigningWitness]:
    """A witness of its own, until the end."""
    made = SigningWitness(keys)

    def answer(path: str, body: bytes | None) -> Answer:
        return made.forced or (made.last(path.split("/")[-2]) if body is None else made.add(body.decode()))

    with served(answer) as address:
        made.url = f"{address}/w"
        yield made
