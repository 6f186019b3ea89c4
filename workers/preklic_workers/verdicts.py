"""Who opened or clicked: a person, a mail program ahead of the person, a scanner, or nobody can say. Pure.

The table is versioned: an event keeps the version that judged it, so that a better table can judge anew what it may.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final, Literal

from preklic_shared.jobs import TrackJob

Verdict = Literal["human", "prefetch", "scanner", "unknown"]

VERSION: Final = 1
# Security gateways follow every link of a mail at once; a person does not click three in two seconds.
BURST_LINKS: Final = 3
BURST_MILLIS: Final = 2000


@dataclass(frozen=True, slots=True)
class Rule:
    """A verdict for an event and class of user agent; None matches any."""

    event: str | None
    agent: str | None
    verdict: Verdict


# The first match decides; the last one matches everything.
RULES: Final = (
    Rule("delivered", None, "unknown"),
    Rule("deferred", None, "unknown"),
    Rule("bounced", None, "unknown"),
    Rule("complained", None, "human"),
    Rule(None, "scanner", "scanner"),
    Rule("opened", "proxy", "prefetch"),
    Rule("clicked", "proxy", "scanner"),
    Rule(None, "browser", "human"),
    Rule(None, None, "unknown"),
)


def judge(job: TrackJob, *, burst: bool = False) -> Verdict:
    """The verdict on one event; `burst` says that its link was one of many followed at once."""
    return "scanner" if burst else _verdict(job.event, job.agent)


@cache  # two small sets of words
def _verdict(event: str, agent: str) -> Verdict:
    return next(rule.verdict for rule in RULES if rule.event in (None, event) and rule.agent in (None, agent))


def bursts(jobs: Iterable[TrackJob]) -> frozenset[str]:
    """The ids of the clicks that came with so many other links of the same mail that no person did it."""
    clicks: defaultdict[str, list[TrackJob]] = defaultdict(list)
    for job in jobs:
        if job.event == "clicked":
            clicks[job.message].append(job)
    many = (of_mail for of_mail in clicks.values() if len(of_mail) >= BURST_LINKS)
    return frozenset(job_id for of_mail in many for job_id in _bursts_of(of_mail))


def _bursts_of(clicks: Sequence[TrackJob]) -> set[str]:
    ordered = sorted(clicks, key=lambda job: job.at)
    found: set[str] = set()
    begin = 0
    for end, last in enumerate(ordered):
        while last.at - ordered[begin].at > BURST_MILLIS:
            begin += 1
        window = ordered[begin : end + 1]
        if len({job.link for job in window}) >= BURST_LINKS:
            found.update(job.id for job in window)
    return found
