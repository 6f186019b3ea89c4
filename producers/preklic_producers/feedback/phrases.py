"""What a bounce says in words where it has no code: phrases of the mail servers that there are. Pure.

The order matters: a warning may quote a refusal, and a full mailbox is no missing one.
"""

import re
from dataclasses import dataclass
from typing import Final, Literal

from preklic_shared.status_codes import Bounced


@dataclass(frozen=True, slots=True)
class Said:
    """What a report comes to: the word, the class and the enhanced code that stands for it (RFC 3463)."""

    word: Literal["bounced", "deferred", "delivered"]
    bounce: Bounced | None
    code: str


def _any(*phrases: str) -> re.Pattern[str]:
    return re.compile("|".join(phrases), re.IGNORECASE)


_WARNING: Final = _any(
    r"this is (?:only )?a warning",
    r"warning[:,]? (?:message|could not send)",
    r"delivery (?:has been |is )?delayed",
    r"will (?:continue|keep) (?:to )?(?:try|trying|attempt)",
    r"has not yet been delivered",
    r"still being retried",
    r"you do not need to (?:do anything|resend)",
    r"no action is required",
    r"delayed mail",
    r"message delayed",
    r"will be retried",
    r"attempts will continue",
    r"for the last \d+ (?:minutes|hours)",
    r"temporarily deferred",
    r"not yet delivered",
    r"automatically try again",
)
_FULL: Final = _any(
    r"space not enough",
    r"mail ?folder is full",
    r"quota",
    r"(?:mailbox|mail box|mail folder|account|inbox) (?:is |has )?(?:full|exceeded|over)",
    r"full mailbox",
    r"insufficient (?:system )?(?:storage|disk)",
    r"exceed\w* .{0,20}(?:storage|size|limit|space)",
    r"disk space",
    r"out of (?:disk )?space",
    r"too large",
    r"storage limit",
)
_POLICY: Final = _any(
    r"\bspam\b",
    r"black-?list",
    r"block(?:ed)? ?list",
    r"\bdnsbl\b",
    r"\brbl\b",
    r"not accepting mail from",
    r"(?:message|mail|sender) (?:was |has been |is )?(?:blocked|rejected for policy)",
    r"policy (?:reasons?|violation)",
    r"relay(?:ing)? (?:is )?(?:denied|not permitted|prohibited)",
    r"unable to relay",
    r"access denied",
    r"not (?:permitted|authori[sz]ed) to (?:send|relay|post)",
    r"content (?:filter|rejected)",
    r"contains? a virus",
    r"(?:filtered|refused) by",
    r"5\.7\.\d",
    r"not allowed to post",
)
_GONE: Final = _any(
    r"final (?:email )?delivery point",
    r"n'existe pas",
    r"did not (?:exactly )?match an",
    r"user[ -]?unknown",
    r"unknown (?:user|recipient|local|address|or illegal|mailbox)",
    r"(?:recipient|addressee|address) unknown",
    r"no (?:such )?(?:user|recipient|mailbox|address|account|person|subscriber)",
    r"does(?: not|n'?t) exist",
    r"not exist",
    r"(?:user|recipient|mailbox|address|account|name)\b.{0,40}?(?:not found|not known|unavailable"
    r"|not available|not recogni[sz]ed|invalid|inactive|disabled|not listed|is unknown|expired|closed)",
    r"(?:invalid|bad|illegal|incorrect|unrouteable|undeliverable|unresolvable|ambiguous) (?:recipient"
    r"|address|user|mailbox|final delivery|e-?mail|user name)",
    r"not (?:a valid|our customer|listed|a (?:known|local) user)",
    r"delivery to this user",
    r"address(?:ee)? (?:is )?(?:rejected|obsolete)",
    r"(?:this|the|their) (?:user|account|address|mailbox) (?:is |has been |was )?(?:disabled|closed"
    r"|inactive|deleted|terminated|discontinued|cancell?ed|suspended|no longer)",
    r"doesn'?t have an? .{0,20}account",
    r"no longer (?:valid|active|available|works|with|in use)",
    r"host (?:name )?(?:unknown|not found)",
    r"(?:unknown|bad|invalid) host",
    r"name service error",
    r"no mx",
    r"domain .{0,30}not found",
    r"couldn'?t find any host",
    r"user .{0,60} (?:does not|doesn't|is not)",
    r"mailbox .{0,60} (?:does not|doesn't|is not)",
    r"not in (?:this|our) (?:domain|directory)",
    r"recipient rejected",
    r"address rejected",
    r"no account by that name",
    r"isn'?t in my .{0,20}(?:list|control)",
    r"nonexist",
)
_TIRED: Final = _any(
    r"(?:connection|operation) (?:timed? ?out|refused|reset)",
    r"time[- ]?out",
    r"retry (?:time|timeout)",
    r"host .{0,60}(?:down|unreachable)",
    r"too many hops",
    r"mail loop",
    r"loops? back",
    r"undeliverable for \d+",
    r"been in the queue too long",
    r"unreachable",
    r"temporar",
    r"i'?m not going to try again",
    r"could not be delivered (?:for|within|in|after) ",
    r"maximum retr",
    r"try again later",
)
_PERMANENT: Final = re.compile(r"permanent(?:ly)?\b", re.IGNORECASE)
_FAILED: Final = _any(
    r"undeliver",
    r"(?:could|can) ?not be delivered",
    r"unable to deliver",
    r"couldn'?t be delivered",
    r"failure notice",
    r"delivery (?:status notification|fail|problem|error|report|notification)",
    r"returned mail",
    r"failed (?:recipient|addresses|mail)",
    r"mail (?:delivery|system|could not|failure)",
    r"not (?:be )?deliver",
    r"did not reach",
    r"message (?:could not|was not|cannot|status)",
    r"permanent (?:error|failure)",
    r"following (?:address|recipient)",
    r"rejected",
    r"bounce",
    r"failed",
    r"returned to sender",
)
# A word of its own: our mails, which people quote, are full of ids with such digits inside.
_REPLY: Final = re.compile(r"(?<![\w.-])([45])(\d\d)[ \-,:]", re.ASCII)
_REPLIES: Final = {"50": "hard", "51": "hard", "53": "hard", "52": "soft", "54": "policy"}


def said(text: str) -> Said | None:
    """What the text of a report says; None when it says nothing about a delivery."""
    if _WARNING.search(text):
        return Said("deferred", "soft", "4.0.0")
    for pattern, bounce, code in ((_FULL, "soft", "5.2.2"), (_GONE, "hard", "5.1.1"), (_POLICY, "policy", "5.7.1")):
        if pattern.search(text):
            return Said("bounced", _class(bounce), code)
    if _TIRED.search(text):
        return Said("bounced", "soft", "4.4.7")
    if (reply := _reply(text)) is not None:
        return reply
    if _PERMANENT.search(text):
        return Said("bounced", "hard", "5.0.0")
    # It came back, and nobody says why: that an address is gone is not said either.
    return Said("bounced", "soft", "5.0.0") if _FAILED.search(text) else None


def _reply(text: str) -> Said | None:
    """A bare reply code of RFC 5321: 550 and its like speak of the mailbox, 552 of its size, 554 of anything."""
    found = _REPLY.search(text)
    if found is None:
        return None
    if found[1] == "4":
        return Said("bounced", "soft", "4.0.0")
    return Said("bounced", _class(_REPLIES.get(f"5{found[2][1]}", "soft")), "5.0.0")


def _class(text: str) -> Bounced:
    return "hard" if text == "hard" else "policy" if text == "policy" else "soft"
