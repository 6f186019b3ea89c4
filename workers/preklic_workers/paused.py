"""Which queues are paused, beside what else is shown of them. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

from preklic_workers.store import Control


def beside(rows: Iterable[Mapping[str, Any]], switches: Iterable[Control] | None) -> list[dict[str, Any]]:
    """These rows, each with `paused`: since, by, reason and until (None: until somebody resumes it).

    None for a queue that is not paused. `switches` None: nobody could say, and the word is `unknown`.
    """
    if switches is None:
        return [{**row, "paused": "unknown"} for row in rows]
    found = {
        one.queue: {"since": one.at, "by": one.by, "reason": one.reason, "until": one.until}
        for one in switches
        if one.stopped and one.queue is not None
    }
    return [{**row, "paused": found.get(row["queue"])} for row in rows]


def told(paused: Mapping[str, Any] | str | None) -> str:
    """The cell of a row's `paused`, in words."""
    if paused is None or isinstance(paused, str):
        return paused or ""
    end = f", until {paused['until']:%Y-%m-%d %H:%M:%S}" if paused["until"] else ""
    return f"since {paused['since']:%Y-%m-%d %H:%M:%S} by {paused['by']}: {paused['reason']}{end}"
