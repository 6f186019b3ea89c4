"""What a relay's reply means for a mail. Pure: codes in, a verdict out; no text of a reply is kept anywhere.

Codes follow RFC 5321 section 4.2, enhanced codes RFC 3463 and the IANA registry of RFC 5248.
"""

import re
from enum import StrEnum
from typing import Final

import msgspec

from preklic_shared.status_codes import GONE, refuses_us


class Phase(StrEnum):
    """Where in a conversation something happened, in order."""

    CONNECT = "connect"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    BODY = "body"


class Verdict(StrEnum):
    """What a reply makes of the mail; `POLICY_STOP` concerns us (authentication, reputation), not the person."""

    SENT = "sent"
    BOUNCED = "bounced"
    DEFERRED = "deferred"
    FAILED = "failed"
    POLICY_STOP = "policy_stop"


class Reply(msgspec.Struct, frozen=True):
    """A reply's three-digit code and its enhanced code (`5.1.1`), or an empty text where it has none."""

    code: int
    enhanced: str = ""

    @property
    def good(self) -> bool:
        """Whether it is a 2yz reply."""
        return 200 <= self.code < 300

    @property
    def final(self) -> bool:
        """Whether it is a 4yz or 5yz reply: certain, this mail was not taken."""
        return 400 <= self.code < 600


_ENHANCED: Final = re.compile(r"([245])\.(\d{1,3})\.(\d{1,3})(?![\d.])", re.ASCII)
# Without an enhanced code only a refused recipient speaks of the mailbox: RFC 5321 4.2.3.
_GONE_AT_RCPT: Final = frozenset({550, 551, 553})


def read(code: int, text: str) -> Reply:
    """The codes of a reply; its text is dropped. An enhanced code of another class than `code` is ignored.

    >>> read(550, "5.1.1 <ana@primer.si>: no such user")
    Reply(code=550, enhanced='5.1.1')
    """
    found = _ENHANCED.match(text)
    agrees = found is not None and int(found[1]) == code // 100
    return Reply(code, found[0] if found is not None and agrees else "")


def classify(reply: Reply, phase: Phase) -> Verdict:
    """What `reply` in `phase` means; only a 2yz reply to the body is `SENT`.

    >>> classify(Reply(550, "5.1.1"), Phase.RCPT).value
    'bounced'
    >>> classify(Reply(550, "5.7.26"), Phase.BODY).value
    'policy_stop'
    """
    if reply.good and phase is Phase.BODY:
        return Verdict.SENT
    if reply.code < 500 or reply.code > 599:
        return Verdict.DEFERRED
    if refuses_us(reply.enhanced):
        return Verdict.POLICY_STOP
    if reply.enhanced in GONE and phase in (Phase.RCPT, Phase.BODY):
        return Verdict.BOUNCED
    if not reply.enhanced and phase is Phase.RCPT and reply.code in _GONE_AT_RCPT:
        return Verdict.BOUNCED
    return Verdict.FAILED
