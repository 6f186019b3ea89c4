"""`preklic ledger`: whether what was recorded is still what was signed."""

import datetime as dt
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from preklic_shared.cli import Code, Json, Stop, ends_with, say, settings, show_json
from preklic_shared.settings import Settings
from preklic_workers import ledger_showing, looking, stamping, store
from preklic_workers.commands_erasure import checked
from preklic_workers.cosigned import cosigner_key, last_cosigned
from preklic_workers.exchange import Unanswered
from preklic_workers.keydir import KeyDirError
from preklic_workers.keyring import KeyRing
from preklic_workers.ledger.sequencing import Sequencer, origin_of
from preklic_workers.ledger.stamps import MOST_CHAIN, BadChain, Refused, Trust, trust_in
from preklic_workers.ledger.verify import MOST_NOTE, Altered, read_checkpoint
from preklic_workers.ledger.witnessed import CosignerKey, key_of
from preklic_workers.ledger_audit import Audited, Beside, audit_all
from preklic_workers.operating import operator
from preklic_workers.rings import ring_of
from preklic_workers.stamping import AuthorityAway, Stamper
from preklic_workers.store import Act, Store
from preklic_workers.store.stamps import Stamp

ends_with(store.Unavailable, Code.AWAY, "is MongoDB running, and PREKLIC_MONGO_URL right? try: preklic doctor")
ends_with(KeyDirError, Code.FINDING)
ends_with(
    Altered, Code.FINDING, "stop and keep everything as it is: somebody changed the ledger, or its key is another"
)
ends_with(AuthorityAway, Code.AWAY, "does the authority of STAMPS__URL answer? the role ledger asks again")
ends_with(Refused, Code.FINDING, "the authority's answer is not believed by STAMPS__CA; nothing was kept")
ends_with(BadChain, Code.USAGE)

ledger = typer.Typer(
    no_args_is_help=True, add_completion=False, help="The tamper-evident record: verified, and its signed head."
)
PublicKey = Annotated[str | None, typer.Option("--key", help="Its public key, 64 hex digits; default: of KEY_DIR.")]
Known = Annotated[
    list[Path] | None,
    typer.Option("--checkpoint", exists=True, dir_okay=False, help="A head that you kept elsewhere; may repeat."),
]


Ca = Annotated[
    Path | None,
    typer.Option("--ca", exists=True, dir_okay=False, help="Believe time stamps by these (PEM); default: STAMPS__CA."),
]
Copy = Annotated[
    Path | None,
    typer.Option("--witness", exists=True, dir_okay=False, help="The witness's copy; default: WITNESS, if it is here."),
]
Cosigner = Annotated[
    list[str] | None,
    typer.Option(help="Believe cosignatures by a witness with this vkey, too, beside COSIGNER__KEY; may repeat."),
]


@ledger.command()
def verify(
    *,
    key: PublicKey = None,
    checkpoint: Known = None,
    ca: Ca = None,
    witness: Copy = None,
    cosigner: Cosigner = None,
    as_json: Json = False,
) -> None:
    """Read the whole ledger and name the first record that is not what was signed; ends with 1 then.

    A head that you kept elsewhere, or the witness's copy of all heads, shows a ledger that was written anew by somebody
    who has the key. Time stamps and cosignatures are checked, and it says from when to when there was no stamp.

    Example: `preklic ledger verify --checkpoint 2026-11-01.note --witness /mnt/witness/heads.jsonl`
    """
    config = settings()
    keys = {origin_of(config): [public_key(config, key)]}
    kept = [(path, read_checkpoint(_note(path), keys, str(path))) for path in checkpoint or ()]
    every = dt.timedelta(seconds=config.stamps.every if config.stamps else 3600)
    cosigners = [*witness_keys(cosigner), *([cosigner_key(config.cosigner)] if config.cosigner else ())]
    beside = Beside(kept, witness or _copy(config), _trust(config, ca), every, cosigners=cosigners)
    found = looking.with_store("read", lambda opened, _: _audited(opened, keys, beside))
    show_json(ledger_showing.row(found)) if as_json else say("\n".join(ledger_showing.lines(found)))


async def _cosigned(config: Settings) -> str | None:
    if config.cosigner is None:
        return None
    try:
        return await last_cosigned(config.cosigner, origin_of(config))
    except Unanswered as none:
        typer.echo(f"the signing witness did not answer, and was not compared: {none.why}", err=True)
        return None


def _copy(config: Settings) -> Path | None:
    if config.witness is not None and not os.access(config.witness, os.R_OK):
        typer.echo("the witness's copy is not here, and was not compared: give --witness FILE", err=True)
        return None
    return config.witness


def _trust(config: Settings, ca: Path | None) -> Trust | None:
    if ca is not None:
        with ca.open("rb") as file:
            return trust_in(file.read(MOST_CHAIN + 1))
    return stamping.trust_of(config.stamps) if config.stamps else None


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


@ledger.command()
def stamp(
    *, reason: Annotated[str, typer.Option("--reason", help="Why; it is recorded.")], as_json: Json = False
) -> None:
    """Put on what waits, sign it, and have it stamped by the authority of `[stamps]` now; needs the role's keys.

    It is recorded first, so there is a new head. For evidence of today, or when an authority is back.

    Example: `preklic ledger stamp --reason "II P 12/2026"`
    """
    config, why = settings(), checked(reason)
    if (asked := config.stamps) is None:
        raise Stop(Code.USAGE, "no authority is configured", "set PREKLIC_STAMPS__URL and PREKLIC_STAMPS__CA")
    ring = ring_of(config, "ledger")

    async def work(opened: Store, _: Settings) -> Stamp:
        await opened.acts.record(Act("stamped", operator(), why))
        await _sign(opened, config, ring)
        head = await opened.ledger.stamps.newest_head()
        assert head is not None  # an act has just been put on
        return await Stamper(opened.ledger.stamps, asked, stamping.trust_of(asked)).stamp(head)

    made = looking.with_store("law", work, ring)
    show_json({"leaves": made.size, "at": made.at.isoformat()}) if as_json else say(
        f"the head of {made.size} leaves is stamped, {made.at:%Y-%m-%d %H:%M:%S} UTC"
    )


def _signed_now() -> list[tuple[int, str]]:
    ring = ring_of(settings(), "ledger")

    async def work(opened: Store, config: Settings) -> list[tuple[int, str]]:
        await _sign(opened, config, ring)
        return await opened.ledger.checkpoints()

    return looking.with_store("law", work, ring)


async def _sign(opened: Store, config: Settings, ring: KeyRing) -> None:
    """Put on what waits, and sign it."""
    assert ring.ledger is not None  # the key directory of `ledger` is complete, or it does not open
    given = (opened.ledger, opened.mongo, origin_of(config), ring.ledger)
    await Sequencer(*given).once()
    await Sequencer(*given).checkpoint()  # a new one: the role's may have put it on meanwhile


async def _audited(opened: Store, keys: Mapping[str, Sequence[bytes]], beside: Beside) -> Audited:
    console = Console(stderr=True)
    beside = replace(beside, cosigned=await _cosigned(settings()))
    newest = await opened.ledger.stamps.newest_head()
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("leaves", total=newest.size if newest else None)
        return await audit_all(opened, keys, beside, lambda count: bar.advance(task, count))


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


def witness_keys(given: Sequence[str] | None) -> list[CosignerKey]:
    """The keys behind these vkeys."""
    try:
        return [key_of(vkey) for vkey in given or ()]
    except ValueError as wrong:
        raise Stop(Code.USAGE, str(wrong)) from None


def _note(path: Path) -> str:
    with path.open(encoding="utf-8") as file:
        return file.read(MOST_NOTE + 1)
