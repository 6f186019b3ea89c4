"""`preklic keys epoch`: the turn of the epoch keys, and who holds which."""

from pathlib import Path
from typing import Any

import typer

from preklic_shared.cli import Code, Json, Stop, ends_with, say, settings, show, show_json
from preklic_shared.settings import Settings
from preklic_workers import keyfiles, looking, store
from preklic_workers.durable import Locked
from preklic_workers.envelope import EPOCH_GROUPS
from preklic_workers.key_root import Root, root_of
from preklic_workers.keydir import KeyDirError, load_ring
from preklic_workers.operating import operator
from preklic_workers.state_dir import state_of
from preklic_workers.store.holders import Holder, Holders
from preklic_workers.store.key_copies import BadCopy
from preklic_workers.telling import told
from preklic_workers.turning import NotTurned, Turn, Turned

ends_with(store.Unavailable, Code.AWAY, "is MongoDB running, and PREKLIC_MONGO_URL right? try: preklic doctor")
ends_with(KeyDirError, Code.FINDING)
ends_with(NotTurned, Code.FINDING, "nothing is destroyed; the same command goes on from here")
ends_with(BadCopy, Code.FINDING, "nothing is destroyed; the same command makes a new one")
ends_with(Locked, Code.FINDING, "wait until it has ended")

epoch = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Epoch keys of data at rest: turned every 30 days on the root."
)
_COLUMNS = ("group", "epoch", "state", "keys", "here", "holders")


@epoch.command()
def turn(*, root: Root = None, as_json: Json = False) -> None:
    """Turn the epoch: wrap the survivors' keys anew, back them up and try that, then destroy the old epoch keys.

    Needs PREKLIC_STATE_DIR. A turn that was killed goes on where it was.

    Example: `preklic keys epoch turn`
    """
    place, config = _whole(root), settings()
    state = state_of(config)
    ring = load_ring(place / "upkeep", "upkeep")
    with told() as tell:

        async def work(opened: store.Store, _: Settings) -> Turned:
            return await Turn(opened, ring.epochs, place, state, operator(), tell).run()

        done = looking.with_store("law", work, ring)
    if as_json:
        show_json({"epochs": done.numbers, "rewrapped": done.rewrapped, "backup": done.backup})
        return
    say(f"wrapped {done.rewrapped} keys anew, tried the backup {done.backup}, destroyed the epochs before:")
    say("  " + ", ".join(f"{group} {number}" for group, number in done.numbers.items()))
    say("on other hosts delete the old *.epoch files too: preklic keys epoch status shows who holds them")


@epoch.command()
def status(*, root: Root = None, as_json: Json = False) -> None:
    """Each group's epochs: wrapped keys, the key on this root, and which processes hold it. Ends with 1 for old ones.

    Example: `preklic keys epoch status --json`
    """
    place = _whole(root)

    async def work(opened: store.Store, _: Settings) -> list[dict[str, Any]]:
        return rows(place, await opened.vault.counts(), await Holders(opened.mongo).live())

    found = looking.with_store("read", work, load_ring(place / "upkeep", "upkeep"))
    show(found, _COLUMNS, title="Epochs", as_json=as_json)
    if any(row["state"] == "old" for row in found):
        raise typer.Exit(Code.FINDING)


def rows(root: Path, counts: list[tuple[str, int, int]], holders: list[Holder]) -> list[dict[str, Any]]:
    """A row for each epoch of a group that is anywhere. `state`: current, old (a key of it is somewhere), gone."""
    found = []
    for group in EPOCH_GROUPS:
        here = set[int]().union(*keyfiles.epochs_of(root, group).values())
        wrapped = {epoch: count for name, epoch, count in counts if name == group}
        held = {epoch for one in holders for epoch in one.epochs.get(group, ())}
        for number in sorted(here | held | set(wrapped)):
            names = [one.name for one in holders if number in one.epochs.get(group, ())]
            state = "current" if number == max(here) else "old" if number in here or names else "gone"
            found.append(
                {
                    "group": group,
                    "epoch": number,
                    "state": state,
                    "keys": wrapped.get(number, 0),
                    "here": number in here,
                    "holders": ", ".join(names),
                }
            )
    return found


def _whole(given: Path | None) -> Path:
    """The root of all roles' keys. Stop where there is only one role's."""
    place = root_of(given)
    if not keyfiles.is_root(place):
        raise Stop(Code.USAGE, f"{place} is not the root of all roles' keys", "run it where keys were made: --root")
    return place
