"""How the sink answers: one mode at a time, for all mails or the next few, for everyone or for some recipients."""

from random import Random
from typing import Literal

import msgspec

Name = Literal[
    "accept",
    "drop_after_dot",  # take the body, close without an answer; `kept` says whether the mail counts as accepted
    "refuse_after_dot",  # answer `code` after the dot (default 451)
    "refuse_rcpt",  # answer `code` to RCPT (default 550); 421 also closes
    "refuse_mail",  # answer `code` to MAIL (default 451)
    "close_in_data",  # close after the first bytes of the body
    "silence",  # after the dot: no answer, the connection stays open; `kept` as above
    "half_open",  # after 354: read nothing more, say nothing more
    "tarpit",  # every answer takes `seconds`
    "slow_accept",  # the answer to the dot takes `seconds`
    "greylist",  # the first RCPT of an address gets 451, the next passes
]


class Mode(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`times`: for how many mails (None: all); `share`: for what part; `match`: is in the recipient."""

    name: Name = "accept"
    code: int | None = None
    seconds: float = 1.0
    kept: bool = True
    times: int | None = None
    share: float = 1.0
    match: str = ""


ACCEPT = Mode()


class Moods:
    """Holds the present mode and decides which mail meets it."""

    def __init__(self, seed: int = 1) -> None:
        self.mode = ACCEPT
        self._left: int | None = None
        self._random = Random(seed)
        self._known: set[str] = set()

    def set(self, mode: Mode) -> None:
        self.mode = mode
        self._left = mode.times
        self._known.clear()

    def for_mail(self, recipient: str) -> Mode:
        """The mode this mail meets; counts it. Called once a mail, at its first RCPT."""
        mode = self.mode
        if mode.name == "accept" or mode.match not in recipient:
            return ACCEPT
        if mode.share < 1 and self._random.random() >= mode.share:
            return ACCEPT
        if self._left is not None:
            if self._left <= 0:
                return ACCEPT
            self._left -= 1
        return mode

    def greylisted(self, recipient: str) -> bool:
        """True the first time an address is seen under `greylist`."""
        new = recipient not in self._known
        self._known.add(recipient)
        return new
