"""From a mail that came to one of our feedback addresses to what it means: a report, nothing, or set aside. Pure."""

import re
from dataclasses import dataclass
from email.message import Message as Mail
from typing import Final

from preklic_producers.feedback import arf, dsn
from preklic_producers.feedback.heard import Aside, Heard, Ignored
from preklic_producers.feedback.ours import Ours
from preklic_producers.feedback.phrases import Said, said
from preklic_producers.feedback.reading import Unreadable, header, read, text_of
from preklic_producers.feedback.reports import Report
from preklic_shared.return_paths import Bounce, Leave, check
from preklic_shared.status_codes import code_in, severity

SOURCE: Final = "smtp"
OPEN_DOORS: Final = frozenset({"fbl", "bounce", "postmaster", "abuse"})
"""Local parts that take mail without a token: complaints by feedback loops, and what has lost its way."""
_AUTOMATIC: Final = re.compile(r"\s*auto-(?:replied|notified)", re.IGNORECASE)
_AWAY: Final = re.compile(
    r"out of (?:the )?office|automatic reply|auto(?:matic)?[- ]?(?:reply|response)|vacation|samodejni odgovor|odsotn"
    r"|abwesenheit|automatische antwort",
    re.IGNORECASE,
)
_DAEMON: Final = re.compile(r"mailer-?daemon|postmaster|mail delivery", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Door:
    """Whose address a mail came to: `message` is the mail that its token names, `leaving` for a mailed unsubscribe."""

    message: str | None = None
    leaving: bool = False


def door(recipient: str, ours: Ours) -> Door | None:
    """What is behind an envelope recipient; None: nothing, and the mail is refused (a wrong MAC too)."""
    local, _, domain = recipient.rpartition("@")
    if domain.lower() != ours.domain.lower():
        return None
    if (bounce := check(ours.keys, local, Bounce)) is not None:
        return Door(bounce.message)
    if (leave := check(ours.keys, local, Leave)) is not None:
        return Door(leave.message, leaving=True)
    return Door() if local.lower() in OPEN_DOORS else None


def judge(raw: bytes, at: Door, ours: Ours) -> Heard:
    """What the mail means for the mail that its address names; who else is named in it does not matter."""
    if at.leaving and at.message is not None:
        return Report(SOURCE, "unsubscribed", at.message)
    try:
        mail = read(raw)
    except Unreadable as error:
        return Aside(error.reason, raw)
    if (complaint := arf.complaint_of(mail)) is not None:
        return _complained(complaint, raw, at, ours)
    found = _status(mail)
    if found is None:
        # What comes to an open door and reports nothing is anybody's letter, or spam.
        return Ignored("no_report") if automatic(mail) or at.message is None else Aside("not_understood", raw)
    message = at.message or _inside(raw, ours)
    if message is None:
        return Aside("unmatched", raw)
    return Report(SOURCE, found.word, message, found.bounce, found.code)


def automatic(mail: Mail) -> bool:
    """Whether a program answered for somebody who is away (RFC 3834), and no mail server reports anything."""
    if _DAEMON.search(header(mail, "From")):
        return False
    told = _AUTOMATIC.match(header(mail, "Auto-Submitted")) or _AWAY.search(header(mail, "Subject"))
    return bool(told) or any(name in mail for name in ("X-Autoreply", "X-Autorespond", "X-Autoresponse"))


def _status(mail: Mail) -> Said | None:
    text = f"{header(mail, 'Subject')}\n{text_of(mail)}"
    if (told := dsn.status_of(mail, text)) is not None:
        return told
    if automatic(mail):
        return None
    words = said(text)
    if words is None or words.word != "bounced":
        return words
    code = code_in(text)
    return Said("bounced", severity(code, words.bounce or "soft"), code) if code[:1] in {"4", "5"} else words


def _complained(complaint: str, raw: bytes, at: Door, ours: Ours) -> Heard:
    if complaint == "ignored":
        return Ignored("feedback")
    message = at.message or _inside(raw, ours)
    if message is None:
        return Aside("unmatched", raw)
    return Report(SOURCE, "unsubscribed" if complaint == "unsubscribed" else "complained", message)


def _inside(raw: bytes, ours: Ours) -> str | None:
    """The mail whose return path, with its MAC, stands in what came back: whoever shows it has had that mail."""
    return ours.quoted([raw.decode("ascii", "replace")])
