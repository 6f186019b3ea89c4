"""`preklic evidence`: what the ledger proves, for a court, a data-protection officer or an opposing expert (U13)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.progress import Progress

from preklic_shared.cli import Code, Json, Stop, ends_with, say, settings, show_json
from preklic_shared.ids import new_id
from preklic_shared.registry import load_registry
from preklic_shared.sealing import Tampered
from preklic_shared.settings import Settings
from preklic_workers import looking, receivers, sealed_file, store
from preklic_workers.commands_erasure import checked
from preklic_workers.commands_ledger import PublicKey, public_key, witness_keys
from preklic_workers.desk import words
from preklic_workers.evidence import Issuer, Unproven
from preklic_workers.evidence import export as bundle
from preklic_workers.evidence_mails import keys_at_hand
from preklic_workers.evidence_scope import About
from preklic_workers.keydir import KeyDirError
from preklic_workers.ledger.bundle import check
from preklic_workers.ledger.bundle import report as reported
from preklic_workers.ledger.sequencing import origin_of
from preklic_workers.operating import operator
from preklic_workers.private_files import NotWritten, private_file
from preklic_workers.rings import ring_of
from preklic_workers.store import Act, Fact, Store
from preklic_workers.store.acts import EVIDENCE
from preklic_workers.whom import given, subjects

ends_with(store.Unavailable, Code.AWAY, "is MongoDB running, and PREKLIC_MONGO_URL right? try: preklic doctor")
ends_with(KeyDirError, Code.FINDING)
ends_with(Unproven, Code.FINDING)
ends_with(receivers.BadKeyFile, Code.USAGE)
ends_with(Tampered, Code.FINDING, "the file is not for this key, or it was changed")
ends_with(NotWritten, Code.USAGE, "take a new name in a directory of yours; nothing is ever replaced")

evidence = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Bundles of evidence that are believed without this software."
)
KIND: Final = "evidence"
Out = Annotated[Path, typer.Option("--out", help="A file that is not there yet; only its owner can read it.")]
Message = Annotated[str | None, typer.Option(help="Of this mail, by its job id.")]
Of = Annotated[str | None, typer.Option(help="Of this person: - for an address on stdin, or a website's name.")]
Case = Annotated[str | None, typer.Option(help="Of all that holds keep for this case.")]
Why = Annotated[str, typer.Option("--reason", help="Why, or the case; it is recorded, and stands in the bundle.")]
Older = Annotated[list[str] | None, typer.Option(help="A public key that the ledger had before; may repeat.")]
SealTo = Annotated[Path | None, typer.Option(help="Only for this receiver: a public X25519 key, hex or PEM.")]


@evidence.command()
def export(
    *,
    out: Out,
    message: Message = None,
    person: Of = None,
    case: Case = None,
    reason: Why,
    older_key: Older = None,
    seal_to: SealTo = None,
    as_json: Json = False,
) -> None:
    """Write what the ledger proves of a mail, a person or a case, with a verify.py. Recorded before it is read.

    Needs the key directories of upkeep and of the ledger, whose key signs the bundle. Mails whose octets a hold keeps
    are in it as they were sent: give it to nobody else, or use --seal-to. What an erasure took is not in it.

    Example: `preklic evidence export --message 0193a1b2-... --out mail.zip --reason "II P 12/2026"`
    """
    if sum(map(bool, (message, person, (case or "").strip()))) != 1:
        raise Stop(Code.USAGE, "say whose: --message JOB, --person - or --case NAME")
    about = About(record=message, case=words("case", case or "") or None)
    asked = _Asked(about, given(person) if person is not None else None, checked(reason), _receiver(seal_to))
    config = settings()
    issuer = _issuer(config, older_key or [])
    with private_file(out) as file:
        octets = _written(config, asked, issuer)
        verdict = check(octets, issuer.publics())  # nothing is written that would not be believed
        file.write(octets if asked.receiver is None else sealed_file.sealed(KIND, new_id(), asked.receiver, octets))
    counts = {"records": verdict.records, "mails": len(verdict.mails), "gaps": len(verdict.gaps)}
    if as_json:
        show_json({"file": str(out)} | counts)
        return
    say(f"wrote {out}: " + ", ".join(f"{count} {what}" for what, count in counts.items()))


@dataclass(frozen=True, slots=True)
class _Asked:
    """A bundle as it is asked for: about whom (`who` as typed, where it is a person), why, and sealed to whom (hex)."""

    about: About
    who: str | None
    why: str
    receiver: str | None


def _receiver(path: Path | None) -> str | None:
    """The key to seal to; tried, so that nothing is recorded for one that takes no seal."""
    if path is None:
        return None
    receiver = receivers.public_hex(path)
    try:
        sealed_file.sealed(KIND, "", receiver, b"")
    except ValueError:
        raise Stop(Code.USAGE, "--seal-to is no public X25519 key") from None
    return receiver


def _issuer(config: Settings, older: list[str]) -> Issuer:
    ring = ring_of(config, "ledger")
    assert ring.ledger is not None  # the key directory of `ledger` is complete, or it does not open
    known = [public_key(config, key) for key in older]
    return Issuer(origin_of(config), ring.ledger, load_registry(config.registry), known, keys_at_hand(config.key_dir))


def _written(config: Settings, asked: _Asked, issuer: Issuer) -> bytes:
    ring = ring_of(config, "upkeep")

    async def work(opened: Store, _: Settings) -> bytes:
        by, about = operator(), asked.about
        if asked.who is not None:
            about = About(person=(await subjects(opened, ring.blind, asked.who))[0])
        named = {"record": about.record or "all", "case": about.case, "receiver": asked.receiver}
        facts: dict[str, Fact] = {name: text for name, text in named.items() if text is not None}
        await opened.acts.record(Act(EVIDENCE, by, asked.why, about.person, facts))
        console = Console(stderr=True)
        with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
            task = bar.add_task("leaves", total=None)
            return await bundle(opened, about, issuer, by, asked.why, lambda count: bar.advance(task, count))

    return looking.with_store("law", work, ring)


@evidence.command()
def verify(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False)],
    *,
    key: PublicKey = None,
    witness: Annotated[
        list[str] | None, typer.Option(help="The vkey of a witness who must have signed a head in it; may repeat.")
    ] = None,
) -> None:
    """Check a bundle: 0 true, 1 altered, 2 incomplete, 3 without a key from elsewhere. Its own verify.py says the same.

    Example: `preklic evidence verify mail.zip --key 9f2c... --witness witness.example/w1+5a1c6c3f+BE...`
    """
    anchors = [public_key(Settings(), key)] if key is not None else []
    code, lines = reported(file.read_bytes(), anchors, witness_keys(witness))
    typer.echo("\n".join(lines))
    raise typer.Exit(code)


@evidence.command("open")
def open_file(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="What --seal-to made.")],
    *,
    key: Annotated[Path, typer.Option(help="The receiver's private X25519 key: raw, hex or PEM.")],
    out: Out,
) -> None:
    """Open a bundle that was sealed to you; needs no settings and no services.

    Example: `preklic evidence open mail.sealed --key counsel-private.pem --out mail.zip`
    """
    octets = sealed_file.opened(KIND, file.read_bytes(), receivers.private(key))
    with private_file(out) as target:
        target.write(octets)
    say(f"wrote {out}; check it with: preklic evidence verify {out} --key HEX")
