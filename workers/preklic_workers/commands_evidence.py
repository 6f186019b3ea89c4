"""`preklic evidence`: what the ledger proves, for a court, a data-protection officer or an opposing expert (U13)."""

from pathlib import Path
from typing import Annotated

import typer

from preklic_shared.cli import Code, Json, Stop, ends_with, say, settings, show_json
from preklic_shared.settings import Settings
from preklic_workers import looking, store
from preklic_workers.commands_erasure import checked
from preklic_workers.commands_ledger import PublicKey, public_key
from preklic_workers.evidence import About, Unproven
from preklic_workers.evidence import export as bundle
from preklic_workers.keydir import KeyDirError
from preklic_workers.ledger.bundle import check
from preklic_workers.ledger.bundle import report as reported
from preklic_workers.ledger.sequencing import origin_of
from preklic_workers.operating import operator
from preklic_workers.private_files import NotWritten, private_file
from preklic_workers.rings import ring_of
from preklic_workers.store import Act, Store
from preklic_workers.whom import given, subjects

ends_with(store.Unavailable, Code.AWAY, "is MongoDB running, and PREKLIC_MONGO_URL right? try: preklic doctor")
ends_with(KeyDirError, Code.FINDING)
ends_with(Unproven, Code.FINDING)
ends_with(NotWritten, Code.USAGE, "take a new name in a directory of yours; nothing is ever replaced")

evidence = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Bundles of evidence that are believed without this software."
)
Out = Annotated[Path, typer.Option("--out", help="A file that is not there yet; only its owner can read it.")]


@evidence.command()
def export(
    *,
    out: Out,
    message: Annotated[str | None, typer.Option(help="Of this mail, by its job id.")] = None,
    person: Annotated[
        str | None, typer.Option(help="Of this person: - for an address on stdin, or a job of it.")
    ] = None,
    reason: Annotated[
        str, typer.Option("--reason", help="Why, or the case; it is recorded, and stands in the bundle.")
    ],
    key: PublicKey = None,
    as_json: Json = False,
) -> None:
    """Write what the ledger proves of one mail or person, with its proofs and a verify.py. Recorded before it is read.

    Needs the key directory of upkeep. The bundle names nobody by address; what an erasure took is not in it.

    Example: `preklic evidence export --message 0193a1b2-... --out mail.zip --reason "II P 12/2026"`
    """
    why = checked(reason)
    if (message is None) == (person is None):
        raise Stop(Code.USAGE, "say whose: --message JOB or --person -")
    config = settings()
    signing = public_key(config, key)
    with private_file(out) as file:
        octets = _written(config, message, given(person) if person is not None else None, signing, why)
        file.write(octets)
    shown = len(check(octets, [signing]).shown)
    show_json({"file": str(out), "records": shown}) if as_json else say(f"wrote {out}: {shown} records")


def _written(config: Settings, message: str | None, who: str | None, signing: bytes, why: str) -> bytes:
    ring = ring_of(config, "upkeep")

    async def work(opened: Store, _: Settings) -> bytes:
        by = operator()
        found = await subjects(opened, ring.blind, who) if who is not None else []
        about = About(record=message) if who is None else About(person=found[0] if found else "")
        await opened.acts.record(Act("evidence", by, why, about.person or None, {"record": message or "all"}))
        return await bundle(opened, about, origin_of(config), [signing], by, why)

    return looking.with_store("law", work, ring)


@evidence.command()
def verify(file: Annotated[Path, typer.Argument(exists=True, dir_okay=False)], *, key: PublicKey = None) -> None:
    """Check a bundle: 0 true, 1 altered, 2 incomplete, 3 without a key from elsewhere. Its own verify.py says the same.

    Example: `preklic evidence verify mail.zip --key 9f2c...`
    """
    anchors = [public_key(Settings(), key)] if key is not None else []
    code, lines = reported(file.read_bytes(), anchors)
    typer.echo("\n".join(lines))
    raise typer.Exit(code)
