"""`preklic evidence`: what the ledger proves, for a court, a data-protection officer or an opposing expert (U13)."""

import getpass
from pathlib import Path
from typing import Annotated

import typer

from preklic_shared.cli import Code, Json, Stop, ends_with, say, settings, show_json
from preklic_shared.registry import load_registry
from preklic_shared.settings import Settings
from preklic_workers import looking, store
from preklic_workers.commands_erasure import checked
from preklic_workers.commands_ledger import PublicKey, public_key
from preklic_workers.desk import words
from preklic_workers.evidence import Issuer, Unproven
from preklic_workers.evidence import export as bundle
from preklic_workers.evidence_mails import keys_at_hand
from preklic_workers.evidence_scope import About
from preklic_workers.keydir import KeyDirError
from preklic_workers.ledger.bundle import check
from preklic_workers.ledger.bundle import report as reported
from preklic_workers.ledger.sequencing import origin_of
from preklic_workers.private_files import NotWritten, private_file
from preklic_workers.rings import ring_of
from preklic_workers.store import Act, Store
from preklic_workers.store.acts import EVIDENCE
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
        str | None, typer.Option(help="Of this person: - for an address on stdin, or a website's name.")
    ] = None,
    case: Annotated[str | None, typer.Option(help="Of all that holds keep for this case.")] = None,
    reason: Annotated[
        str, typer.Option("--reason", help="Why, or the case; it is recorded, and stands in the bundle.")
    ],
    older: Annotated[
        list[str] | None, typer.Option("--older-key", help="A public key that the ledger had before; may repeat.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write what the ledger proves of a mail, a person or a case, with a verify.py. Recorded before it is read.

    Needs the key directories of upkeep and of the ledger, whose key signs the bundle. Mails whose octets a hold keeps
    are in it as they were sent: give it to nobody else, or use --seal-to. What an erasure took is not in it.

    Example: `preklic evidence export --message 0193a1b2-... --out mail.zip --reason "II P 12/2026"`
    """
    why = checked(reason)
    if sum(map(bool, (message, person, (case or "").strip()))) != 1:
        raise Stop(Code.USAGE, "say whose: --message JOB, --person - or --case NAME")
    config = settings()
    issuer = _issuer(config, older or [])
    who = given(person) if person is not None else None
    with private_file(out) as file:
        octets = _written(config, About(record=message, case=words("case", case or "") or None), who, issuer, why)
        file.write(octets)
    shown = len(check(octets, issuer.publics()).shown)
    show_json({"file": str(out), "records": shown}) if as_json else say(f"wrote {out}: {shown} records")


def _issuer(config: Settings, older: list[str]) -> Issuer:
    ring = ring_of(config, "ledger")
    assert ring.ledger is not None  # the key directory of `ledger` is complete, or it does not open
    known = [public_key(config, key) for key in older]
    return Issuer(origin_of(config), ring.ledger, load_registry(config.registry), known, keys_at_hand(config.key_dir))


def _written(config: Settings, about: About, who: str | None, issuer: Issuer, why: str) -> bytes:
    ring, by = ring_of(config, "upkeep"), getpass.getuser()

    async def work(opened: Store, _: Settings) -> bytes:
        meant = about if who is None else About(person=(await subjects(opened, ring.blind, who))[0])
        facts = {"record": meant.record or "all"} | ({"case": meant.case} if meant.case else {})
        await opened.acts.record(Act(EVIDENCE, by, why, meant.person, facts))
        return await bundle(opened, meant, issuer, by, why)

    return looking.with_store(work, ring)


@evidence.command()
def verify(file: Annotated[Path, typer.Argument(exists=True, dir_okay=False)], *, key: PublicKey = None) -> None:
    """Check a bundle: 0 true, 1 altered, 2 incomplete, 3 without a key from elsewhere. Its own verify.py says the same.

    Example: `preklic evidence verify mail.zip --key 9f2c...`
    """
    anchors = [public_key(Settings(), key)] if key is not None else []
    code, lines = reported(file.read_bytes(), anchors)
    typer.echo("\n".join(lines))
    raise typer.Exit(code)
