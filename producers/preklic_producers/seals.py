"""The signed file of public sealing keys, read again when operations replace it."""

import threading
import time
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from preklic_producers.fields import Rejected
from preklic_shared.job_fields import SEALED_MOST
from preklic_shared.jobs import Job, Payload
from preklic_shared.sealing import Sealer, SealingError

# The queue's reader is the role whose key seals.
ROLE_OF: Final = {
    "send.now": "send",
    "send.bulk": "send",
    "revoke": "revoke",
    "record": "record",
    "ask": "answer",
    "campaign": "campaign",
}
# A job is held to its contract before it is sealed: this stands for what is not there yet.
UNSEALED: Final = {"key": "none", "sealed": "AA=="}
_LOOK_AGAIN: Final = 10.0

J = TypeVar("J", bound=Job)


class Seals:
    """Sealing keys at `path`, followed as the file turns weekly. Safe in threads."""

    def __init__(self, path: Path, pin: bytes | None = None) -> None:
        """SealingError when the file cannot be used at all."""
        self._path, self._pin = path, pin
        self._lock = threading.Lock()
        self._sealer = Sealer.load(path, pin)
        self._stamp = path.stat().st_mtime_ns
        self._looked = time.monotonic()

    def sealed(self, job: J, queue: str, payload: Payload) -> J:
        """`job` with `payload` sealed to the reader of `queue`, bound to the clear header.

        Raises Rejected when the file of keys has expired, or has no key for that role; or the payload is too large.
        """
        sealer, role = self._current(), ROLE_OF[queue]
        try:
            job = msgspec.structs.replace(job, key=sealer.key_id(role))
        except SealingError as error:
            raise Rejected("sealing_keys", str(error)) from None
        sealed = sealer.seal(role, job.header(), payload)
        if len(sealed) > SEALED_MOST:
            raise Rejected("data", f"makes what is sealed longer than {SEALED_MOST} octets")
        return msgspec.structs.replace(job, sealed=sealed)

    def _current(self) -> Sealer:
        with self._lock:
            if time.monotonic() - self._looked < _LOOK_AGAIN and time.time() * 1000 < self._sealer.expires:
                return self._sealer
            self._looked = time.monotonic()
            try:
                stamp = self._path.stat().st_mtime_ns
                if stamp != self._stamp:
                    self._sealer, self._stamp = Sealer.load(self._path, self._pin), stamp
            except (OSError, SealingError):
                # A file that is being replaced, or a wrong one: what was read before serves until it expires.
                return self._sealer
            return self._sealer
