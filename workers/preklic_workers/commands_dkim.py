"""`preklic keys dkim`: keys that sign mail, made first and used once their record is in the DNS."""

import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from preklic_shared.cli import Code, Json, Stop, ends_with, say, show
from preklic_workers import dkim_keys
from preklic_workers.dkim_keys import DkimKey, Kind, NoDkimKey
from preklic_workers.key_root import Root, root_of
from preklic_workers.keyfiles import make_dkim, move

ends_with(NoDkimKey, Code.USAGE)

dkim = typer.Typer(no_args_is_help=True, add_completion=False, help="Keys that sign mail (RFC 6376).")
Name = Annotated[str, typer.Argument(metavar="NAME", help="As `keys dkim list` shows it.")]
WAITING: Final = "dkim"  # below the root: keys that do not sign yet
SIGNING: Final = "send"


@dkim.command("make")
def make_key(
    *,
    root: Root = None,
    domain: Annotated[str, typer.Option(help="The domain of the senders' addresses.")],
    selector: Annotated[str, typer.Option(help="A new one for each key: s2026a.")],
    kind: Annotated[Kind, typer.Option("--type", help="rsa is understood everywhere; ed25519 may sign beside it.")] = (
        "rsa"
    ),
) -> None:
    """Make a key that does not sign yet, and print its DNS record.

    Example: `preklic keys dkim make --domain lucrum.example --selector s2026a`
    """
    try:
        key = make_dkim(root_of(root) / WAITING, domain, selector, kind)
    except FileExistsError:
        raise Stop(Code.USAGE, "there is a key of this selector already", "take a new selector for a new key") from None
    sys.stdout.write(f"{key.name}. IN TXT {key.record()}\n")
    say(f"publish this record; when the DNS answers with it: preklic keys dkim use {key.name}", err=True)


@dkim.command()
def use(name: Name, *, root: Root = None) -> None:
    """Let a key sign, from the next start of the send workers on. An older key goes on until `retire`.

    Example: `preklic keys dkim use s2026a._domainkey.lucrum.example`
    """
    _move(root, name, WAITING, SIGNING)
    say("send workers sign with it when they start again; a role on another host needs the file in its directory")


@dkim.command()
def retire(name: Name, *, root: Root = None) -> None:
    """Let a key sign no more. Its record must stay for a week: mails under way are checked with it.

    Example: `preklic keys dkim retire s2026a._domainkey.lucrum.example`
    """
    _move(root, name, SIGNING, WAITING)
    say("send workers sign without it when they start again; leave its DNS record for a week")


@dkim.command("list")
def list_keys(*, root: Root = None, as_json: Json = False) -> None:
    """Every key with its DNS record, and whether it signs.

    Example: `preklic keys dkim list`
    """
    place = root_of(root)
    rows = [
        {"name": key.name, "type": key.kind, "signs": "yes" if folder == SIGNING else "not yet", "record": key.record()}
        for folder in (SIGNING, WAITING)
        for key in _keys(place / folder)
    ]
    show(rows, ("name", "type", "signs", "record"), title="DKIM keys", as_json=as_json)


def _keys(folder: Path) -> list[DkimKey]:
    return [dkim_keys.read(path) for path in sorted(folder.glob("*._domainkey.*.pem"))]


def _move(root: Path | None, name: str, source: str, target: str) -> None:
    place, file = root_of(root), f"{name}.pem"
    if dkim_keys.NAME.fullmatch(file) is None or not (place / source / file).exists():
        raise Stop(Code.FINDING, f"there is no such key below {place / source}", "preklic keys dkim list")
    dkim_keys.read(place / source / file)
    move(place / source / file, place / target)
