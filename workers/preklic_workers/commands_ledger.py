"""`preklic ledger`: whether what was recorded is still what was signed."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from preklic_shared.cli import Code, Json, Stop, ends_with, say, settings, show_json
from preklic_shared.settings import Settings
from preklic_workers import looking, store
from preklic_workers.keydir import KeyDirError
from preklic_workers.ledger.auditing import audit
from preklic_workers.ledger.sequencing import Sequencer, origin_of
from preklic_workers.ledger.verify import MOST_NOTE, Altered, Head, read_checkpoint
from preklic_workers.rings import ring_of
from preklic_workers.store import Store

ends_with(store.Unavailable, Code.AWAY, "is MongoDB running, and PREKLIC_MONGO_URL right? try: preklic doctor")
ends_with(KeyDirError, Code.FINDING)
ends_with(
    Altered, Code.FINDING, "stop and keep everything as it is: somebody changed the ledger, or its key is another"
)

ledger = typer.Typer(
    no_args_is_help=True, add_completion=False, help="The tamper-evident record: verified, and its signed head."
)
PublicKey = Annotated[str | None, typer.Option("--key", help="Its public key, 64 hex digits; default: of KEY_DIR.")]
Known = Annotated[
    list[Path] | None,
    typer.Option("--checkpoint", exists=True, dir_okay=False, help="A head that you kept elsewhere; may repeat."),
]


@ledger.command()
def verify(*, key: PublicKey = None, checkpoint: Known = None, as_json: Json = False) -> None:
    """Read the whole ledger and name the first record that is not what was signed; ends with 1 then.

    A head that you kept elsewhere shows a ledger that was written anew by somebody who has the key.

    Example: `preklic ledger verify --checkpoint 2026-11-01.note`
    """
    config = settings()
    keys = {origin_of(config): [public_key(config, key)]}
    kept = [(path, read_checkpoint(_note(path), keys, str(path))) for path in checkpoint or ()]

    head = looking.with_store("read", lambda opened, _: _audited(opened, keys, kept))
    if as_json:
        show_json({"leaves": head.size if head else 0, "root": head.root.hex() if head else None})
    else:
        say(f"{head.size} leaves are as they were signed, root {head.root.hex()}" if head else "nothing is signed yet")


@ledger.command()
def checkpoint(
    *,
    size: Annotated[int | None, typer.Option(min=1, help="Of so many leaves.")] = None,
    now: Annotated[
        bool, typer.Option("--now", help="Put on what waits and sign it first; needs the role's keys.")
    ] = False,
) -> None:
    """Print a signed head, the newest one by default. Keep it where nobody of this machine can write.

    Example: `preklic ledger checkpoint > 2026-11-01.note`
    """
    heads = dict(_signed_now() if now else looking.with_store("read", lambda opened, _: opened.ledger.checkpoints()))
    note = heads.get(size or max(heads, default=0))
    if note is None:
        raise Stop(Code.FINDING, "no such head is signed", "the role ledger signs one a minute: preklic worker ledger")
    typer.echo(note, nl=False)


def _signed_now() -> list[tuple[int, str]]:
    ring = ring_of(settings(), "ledger")

    async def work(opened: Store, config: Settings) -> list[tuple[int, str]]:
        assert ring.ledger is not None  # the key directory of `ledger` is complete, or it does not open
        sequencer = Sequencer(opened.ledger, opened.mongo, origin_of(config), ring.ledger)
        await sequencer.once()
        await sequencer.checkpoint()
        return await opened.ledger.checkpoints()

    return looking.with_store("law", work, ring)


async def _audited(
    opened: Store, keys: Mapping[str, Sequence[bytes]], kept: Sequence[tuple[Path, Head]]
) -> Head | None:
    heads = await opened.ledger.checkpoints()
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("leaves", total=heads[-1][0] if heads else None)
        found = await audit(opened.ledger.runs(), heads, keys, lambda count: bar.advance(task, count))
    signed = dict(heads)
    for path, head in kept:
        if head.size not in signed or read_checkpoint(signed[head.size], keys, str(path)) != head:
            raise Altered(f"{path}: this ledger does not have the head of {head.size} leaves that it signed then")
    return found


def public_key(config: Settings, given: str | None) -> bytes:
    """The key that signs this ledger: the one given, or the public half of the role's own."""
    if given is not None:
        try:
            octets = bytes.fromhex(given)
        except ValueError:
            octets = b""
        if len(octets) != 32:
            raise Stop(Code.USAGE, "--key is the ledger's public key, 64 hex digits")
        return octets
    ring = ring_of(config, "ledger")
    assert ring.ledger is not None  # the key directory of `ledger` is complete, or it does not open
    return ring.ledger.public_key().public_bytes_raw()


def _note(path: Path) -> str:
    with path.open(encoding="utf-8") as file:
        return file.read(MOST_NOTE + 1)
