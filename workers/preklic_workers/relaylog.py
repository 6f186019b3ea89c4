"""Reads a relay's own log for what became of our mails, by Message-ID; Postfix's format (syslog lines).

Postfix says `message-id=<...>` in one line and how the mail ended in others, joined by its queue id. Lines are cut, and
only our own mails are remembered, so a log of any size, and whatever an outsider writes into it, costs bounded memory.
"""

import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import BinaryIO, Final

from preklic_shared.ids import is_id

LINE_LIMIT: Final = 8192  # octets; Postfix's own limit for a logged value is far below
MOST: Final = 1_000_000  # mails remembered of one log
# `Nov 25 02:00:00 mx postfix/smtp[77]: 4XyZ12: rest`, or with an ISO time, or an instance's own name (`postfix-out/`).
_LINE: Final = re.compile(
    rb"\bpostfix[\w.-]{0,32}/([a-z/-]{1,40})\[\d{1,10}\]: (?:([0-9A-Za-z]{5,20}): )?(.*)", re.DOTALL
)
# Each stands where Postfix puts it: what follows in brackets is a stranger's reply, which may say anything.
_MESSAGE_ID: Final = re.compile(rb"message-id=<([0-9a-f-]{36})@([0-9A-Za-z.-]{1,253})>\s*")
_STATUS: Final = re.compile(rb"to=<[^>]*>, [^(]*\bstatus=([a-z]+) \(")
_QUEUED: Final = re.compile(rb"from=<[^>]*>, [^(]*\(queue active\)\s*")
# What a status proves: the relay took the mail (deferred, too: it is the relay's to deliver now), or gave it back.
_PROVES: Final = {b"sent": "sent", b"deferred": "sent", b"bounced": "bounced", b"expired": "bounced"}
_STRENGTH: Final = ("sent", "bounced")


class UnknownFormat(Exception):
    """No line of the file is Postfix's."""


class Unreadable(Exception):
    """The file cannot be read."""


class TooMuch(Exception):
    """The log holds more of our mails than one reading remembers."""


class _Mails:
    """What became of our mails so far, by job id, and the queue ids under which Postfix has them now."""

    def __init__(self, domains: Collection[str]) -> None:
        self.found: dict[str, str] = {}
        self._queued: dict[bytes, str] = {}
        self._domains = domains

    def see(self, daemon: bytes, queue_id: bytes, rest: bytes) -> None:
        if daemon == b"cleanup" and rest.startswith(b"message-id="):
            # A short queue id is used again, perhaps by somebody else's mail.
            self._queued.pop(queue_id, None)
            named = _MESSAGE_ID.fullmatch(rest)
            if named and is_id(named[1].decode()) and named[2].decode().lower() in self._domains:
                self._queued[queue_id] = named[1].decode()
        elif queue_id in self._queued:
            self._note(self._queued[queue_id], rest)
            if rest.startswith(b"removed"):
                del self._queued[queue_id]
        if max(len(self.found), len(self._queued)) > MOST:
            raise TooMuch(f"more than {MOST} mails; cut the log into parts")

    def _note(self, job: str, rest: bytes) -> None:
        status = _STATUS.match(rest)
        proof = "sent" if _QUEUED.fullmatch(rest) else _PROVES.get(status[1]) if status else None
        if proof is not None and (job not in self.found or _STRENGTH.index(proof) > _STRENGTH.index(self.found[job])):
            self.found[job] = proof


def read(path: Path, domains: Collection[str]) -> dict[str, str]:
    """What the log at `path` proves of each mail of ours: job id -> `sent` or `bounced`.

    `domains` are the domains of our Message-IDs (lower case). Raises Unreadable, UnknownFormat, TooMuch.
    """
    try:
        with path.open("rb") as file:
            return _read(file, _Mails(domains))
    except OSError as error:
        raise Unreadable(f"the log cannot be read ({type(error).__name__})") from None


def _read(file: BinaryIO, mails: _Mails) -> dict[str, str]:
    known = False
    for line in _lines(file):
        parts = _LINE.search(line)
        if parts is None:
            continue
        known = True
        if parts[2] is not None:
            mails.see(parts[1], parts[2], parts[3])
    if not known:
        raise UnknownFormat("no line of the file is a Postfix log's")
    return mails.found


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """The lines of at most LINE_LIMIT octets; a longer one is no line of a relay and is passed over."""
    long = False
    while line := file.readline(LINE_LIMIT):
        ended = line.endswith(b"\n")
        if not long and (ended or len(line) < LINE_LIMIT):
            yield line
        long = not ended
