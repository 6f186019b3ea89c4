"""Which of our mails a report is about: by what we wrote into the mail, never by an address."""

import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from preklic_shared import return_paths
from preklic_shared.ids import is_id
from preklic_shared.tokens import TokenKeys

# Providers try for a day at most: what is older than this was sent again by somebody.
WEEK: Final = 7 * 86_400
# The name of the tag, variable or metadata that carries the job id where a provider changes the Message-ID.
TAG: Final = "job"
_RETURN_PATH: Final = re.compile(rf"(?<![A-Za-z0-9_.-])(b-[A-Za-z2-7]{{{return_paths.LENGTH}}})(?![A-Za-z0-9_-])")


@dataclass(frozen=True, slots=True)
class Ours:
    """Our mail domain, the keys that sealed the return paths of our mails, and the clock (Unix seconds).

    `senders` are the domains that our mails come from: their Message-IDs end in those.
    """

    domain: str
    keys: TokenKeys
    clock: Callable[[], float] = time.time
    senders: frozenset[str] = frozenset()

    def past(self, at: int | None) -> bool:
        """Whether an event of that time (milliseconds) is too old to have any effect."""
        return at is not None and at < (self.clock() - WEEK) * 1000

    def mail(self, *names: str, tag: str = "") -> str | None:
        """The job id that one of `names` (Message-ID or envelope sender of the mail) or the tag gives; None if none."""
        if is_id(tag):
            return tag
        for name in names:
            local, _, domain = _bare(name).rpartition("@")
            if is_id(local.lower()) and domain.lower() in self.senders | {self.domain.lower()}:
                return local.lower()
            if domain.lower() != self.domain.lower():
                continue
            if (token := return_paths.check(self.keys, local, return_paths.Bounce)) is not None:
                return token.message
        return None

    def quoted(self, texts: Iterable[str]) -> str | None:
        """The same out of text of somebody else (a bounce that came back): return paths with their MAC alone.

        CFBL-Feedback-ID (RFC 9477) repeats one without its domain.
        """
        for text in texts:
            for local in _RETURN_PATH.findall(text):
                if (token := return_paths.check(self.keys, local, return_paths.Bounce)) is not None:
                    return token.message
        return None


def _bare(name: str) -> str:
    """What stands in the last angle brackets, or the whole text."""
    return name.rpartition("<")[2].partition(">")[0].strip()
