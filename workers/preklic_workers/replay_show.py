"""What `preklic replay` shows: a plan's preview, a run's end, the state of each job now, and progress."""

import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from preklic_shared.cli import say, show, show_json
from preklic_workers import looking
from preklic_workers.replaying import WOULD_RUN, items_of, outcomes, samples
from preklic_workers.store import Store
from preklic_workers.store.plans import Plans
from preklic_workers.telling import told
from preklic_workers.turning import Tell

_EVERY: Final = 10.0  # seconds between two lines where nobody looks at a terminal


@contextmanager
def progress() -> Iterator[Tell]:
    """A bar on a terminal, else a line on stderr every ten seconds."""
    if sys.stderr.isatty():
        with told() as tell:
            yield tell
        return
    last = time.monotonic()

    def line(step: str, done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= _EVERY:
            last = time.monotonic()
            say(f"{step}: {done} of {total}", err=True)

    yield line


def tell_plan(made: Mapping[str, Any], *, as_json: bool) -> None:
    """The preview: counts with three jobs of each outcome; JSON has every item."""
    items = items_of(made)
    counted, named, notes = outcomes(items), samples(items), made.get("notes", [])
    if as_json:
        brief = {"plan": made["_id"], "jobs": len(items), "outcomes": counted, "samples": named, "notes": notes}
        show_json(brief | {"items": made["items"]})
        return
    rows = [{"outcome": one, "jobs": count, "such as": " ".join(named[one])} for one, count in counted.items()]
    show(rows, ("outcome", "jobs", "such as"), title=f"Plan {made['_id']}: {len(items)} jobs", as_json=False)
    for note in notes:
        say(f"[yellow]{note}[/]")
    if counted.get(WOULD_RUN):
        say(f"run it with: preklic replay run {made['_id']} --reason ...")


def tell_run(result: Mapping[str, Any], *, as_json: bool) -> None:
    """How a run ended."""
    if as_json:
        show_json(result)
        return
    say(f"published {result['published']} of {result['items']} jobs, skipped {result['skipped']}")
    if result["gone"]:
        say(f"{result['gone']} had no body any more: discarded meanwhile, or cut from the log")
    ends = ", ".join(f"{count} {state}" for state, count in sorted(result["ended"].items()))
    say(f"of them {ends or 'none'} so far, {result['under_way']} under way: preklic replay show {result['plan']}")


async def looked_at(store: Store, plan_id: str) -> dict[str, Any] | None:
    """The plan with each job's end in it and its state now; None when there is no such plan."""
    plan = await Plans(store.mongo).show(plan_id)
    if plan is None:
        return None
    states = await looking.states(store, [item["job"] for item in plan["items"]])
    place, gone = 0, frozenset(plan.get("gone", ()))
    for item in plan["items"]:
        item["now"] = states.get(item["job"], "unrecorded")
        item["run"] = "not chosen"
        if item["outcome"] == WOULD_RUN:
            item["run"] = "left" if place >= plan["done"] else "body gone" if place in gone else "published"
            place += 1
    return plan


def tell_items(plan: Mapping[str, Any], *, limit: int, as_json: bool) -> None:
    """What was foreseen, done and came of it: counted, and the first items."""
    if as_json:
        show_json(plan)
        return
    said = ("source", "state", "by", "made", "run_by", "reason", "rate", "begun", "ended", "cause")
    show([plan], ("_id", *(name for name in said if name in plan)), title="Plan", as_json=False)
    ways = Counter((item["outcome"], item["run"], item["now"]) for item in plan["items"])
    rows = [dict(zip(("outcome", "run", "now"), way, strict=True)) | {"jobs": n} for way, n in ways.most_common()]
    show(rows, ("outcome", "run", "now", "jobs"), title="Jobs", as_json=False)
    if limit:
        columns = ("job", "queue", "outcome", "run", "now")
        show(plan["items"][:limit], columns, title=f"The first {limit}", as_json=False)
