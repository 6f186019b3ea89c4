"""What an enhanced status code means (RFC 3463 and its registry at IANA, RFC 5248), in replies and in reports. Pure."""

import re
from typing import Final, Literal

Bounced = Literal["hard", "soft", "policy"]
"""An address that is gone for good, or for now; or a receiver that objects to what, or how, we send."""

GONE: Final = frozenset({"5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1"})
"""The mailbox or its domain is not there for anyone: RFC 3463 3.2, RFC 7505 (null MX), RFC 3463 3.3 (disabled)."""

_CODE: Final = re.compile(r"(?<![0-9.])[245]\.[0-9]{1,3}\.[0-9]{1,3}(?!\.?[0-9])")
# Permanent by its first digit, but of one moment: mailbox full, mail too long, list away, retried too long, loop.
_PASSING: Final = frozenset({"5.2.2", "5.2.3", "5.2.4", "5.3.1", "5.3.4", "5.4.6", "5.4.7"})
# By the middle number: 1 the address, 2 the mailbox; 6 the content, 7 the receiver's policy; 5 the protocol.
_BY_SUBJECT: Final[dict[str, Bounced]] = {"1": "hard", "2": "hard", "5": "soft", "6": "policy", "7": "policy"}
# 5.1.7 and 5.1.8 speak of the sender's address: it is ours that is refused.
_OF_SENDER: Final = frozenset({"5.1.7", "5.1.8"})
# SPF, DKIM, DMARC, reverse DNS (RFC 7372, RFC 7489) and Microsoft's sender requirements and blocks.
_OURS: Final = re.compile(r"5\.7\.(?:2[0-9]|30|509|515|51[0-4]|60[6-9]|6[1-4]\d|7\d\d)", re.ASCII)


def refuses_us(code: str) -> bool:
    """Whether the receiver objects to how we send: authentication or reputation, whoever the mail is for.

    >>> refuses_us("5.7.26"), refuses_us("5.7.1")
    (True, False)
    """
    return _OURS.fullmatch(code) is not None


def code_in(*texts: str) -> str:
    """The first enhanced status code in these texts; empty where there is none. An IP address is no code.

    >>> code_in("", "smtp; 550 5.1.1 user unknown"), code_in("host 5.1.1.4 refused")
    ('5.1.1', '')
    """
    for text in texts:
        if found := _CODE.search(text):
            return found[0]
    return ""


def severity(code: str, otherwise: Bounced) -> Bounced:
    """The class of a final refusal with this code; `otherwise` where the code says nothing about it.

    >>> severity("5.1.1", "soft"), severity("5.2.2", "hard"), severity("5.7.1", "hard"), severity("", "soft")
    ('hard', 'soft', 'policy', 'soft')
    """
    if code.startswith("4.") or code in _PASSING:
        return "soft"
    if code in _OF_SENDER:
        return "policy"
    return _BY_SUBJECT.get(code.split(".")[1], otherwise) if code else otherwise
