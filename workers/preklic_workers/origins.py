"""Where an exception came from, and a relay's code in it: what a dead letter may say of it, and no text of it."""

import re
from typing import Final

from preklic_workers.outcomes import Dead

_OURS: Final = "preklic_"
_PLAIN: Final = re.compile(r"[^A-Za-z0-9_.:]", re.ASCII)
_ENHANCED: Final = re.compile(r"([245]\.[0-9]{1,3}\.[0-9]{1,3})(?=\s|$)", re.ASCII)  # RFC 3463, first in a reply's text
LONGEST: Final = 200


def fault(what: str, error: BaseException) -> Dead:
    """The end of a job that failed in a way that nobody foresaw: the exception's class, our place, a relay's code."""
    return Dead(f"{what}:{type(error).__name__}", frame=own_frame(error), code=enhanced_code(error))


def own_frame(error: BaseException) -> str:
    """The innermost function of ours on the way to it, `module:function`; empty when it never passed through ours.

    Without a line number: a release that moves lines does not split a group.
    """
    found, traceback = "", error.__traceback__
    while traceback is not None:
        frame = traceback.tb_frame
        module = str(frame.f_globals.get("__name__", ""))
        if module.startswith(_OURS):
            found = f"{module}:{frame.f_code.co_name}"
        traceback = traceback.tb_next
    return _PLAIN.sub("", found)[:LONGEST]


def enhanced_code(error: BaseException) -> str:
    """The enhanced status code that a relay's reply began with, where the exception is such a reply; else empty.

    aiosmtplib's exceptions have the reply's number as `code` and its text as `message`.
    """
    code, message = getattr(error, "code", None), getattr(error, "message", None)
    if not isinstance(code, int) or not isinstance(message, str):
        return ""
    found = _ENHANCED.match(message)
    return found[1] if found else ""
