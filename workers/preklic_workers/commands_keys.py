"""`preklic keys`: made once on a safe host, shown, and the public halves signed for producers."""

import datetime as dt
from pathlib import Path
from typing import Annotated

import typer

from preklic_shared.cli import Code, Json, ends_with, say, show
from preklic_workers import keyfiles
from preklic_workers.commands_dkim import dkim
from preklic_workers.commands_epoch import epoch
from preklic_workers.commands_officer import officer
from preklic_workers.key_root import Root, root_of
from preklic_workers.keydir import ROLES, KeyDirError

ends_with(KeyDirError, Code.FINDING)

keys = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Keys of all roles: one directory for each below the root, copied to where the role runs and nowhere else.",
)

keys.add_typer(dkim, name="dkim")
keys.command("officer")(officer)
keys.add_typer(epoch, name="epoch")


@keys.command()
def init(*, root: Root = None) -> None:
    """Make all keys of a new installation, and the signed file of public keys for producers.

    Example: `preklic keys init --root /etc/preklic/keys`
    """
    place = root_of(root)
    keyfiles.init_keys(place, _now())
    say(f"made the keys of {len(ROLES)} roles below {place}")
    _tell_producers(place)


@keys.command()
def status(*, root: Root = None, as_json: Json = False) -> None:
    """Check every key file (name, mode, size, content, need) and show its age. Ends with 1 when one is not right.

    Example: `preklic keys status --json`
    """
    found = keyfiles.status(root_of(root), _now())
    rows = [{"role": key.role, "name": key.name, "kind": key.kind, "days": round(key.days, 1)} for key in found]
    show(rows, ("role", "name", "kind", "days"), title="Keys", as_json=as_json)


@keys.command()
def publish(*, root: Root = None) -> None:
    """Sign the newest public sealing keys for producers again; the file is good for 8 days.

    Example: `preklic keys publish`
    """
    place = root_of(root)
    keyfiles.publish(place, _now())
    _tell_producers(place)


@keys.command()
def rotate(
    *,
    root: Root = None,
    epochs: Annotated[
        bool, typer.Option("--epochs", help="Make the next epoch keys too; `keys epoch turn` goes on from there.")
    ] = False,
) -> None:
    """A new sealing key for each role, and a new signed file; private halves of more than 30 days are destroyed.

    Example: `preklic keys rotate`
    """
    place = root_of(root)
    keyfiles.turn_sealing(place, _now())
    gone = keyfiles.drop_old_sealing(place, _now())
    say(f"new sealing keys; {len(gone)} old ones destroyed")
    if epochs:
        numbers = keyfiles.turn_epochs(place)
        say(f"new epoch keys: {', '.join(f'{group} {number}' for group, number in numbers.items())}")
    _tell_producers(place)


def _tell_producers(root: Path) -> None:
    public = root / keyfiles.PUBLIC
    say(f"producers: PREKLIC_SEALING_KEYS={public / keyfiles.PUBLIC_FILE}")
    say(f"producers: PREKLIC_SEALING_PIN={(public / keyfiles.PIN_FILE).read_text(encoding='ascii')}")


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
