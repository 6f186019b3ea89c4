"""`preklic disclose`: what an order binds us to tell, with two approvals, sealed to its receiver (U9)."""

import datetime as dt
import sys
from pathlib import Path
from typing import Annotated

import typer

from preklic_shared.cli import Code, Json, Stop, ends_with, say, show, show_json
from preklic_shared.sealing import Tampered
from preklic_workers import disclosures, receivers
from preklic_workers.approving import Request
from preklic_workers.desk import (
    OfficerKey,
    RequestId,
    asked,
    end_of,
    groups_of,
    listed,
    person_of,
    request_id,
    sits,
    words,
)
from preklic_workers.law import Law
from preklic_workers.moments import millis
from preklic_workers.officers import Signer
from preklic_workers.private_files import NotWritten, private_file

ends_with(NotWritten, Code.USAGE, "take a new name in a directory of yours; nothing is ever replaced")
ends_with(receivers.BadKeyFile, Code.USAGE)
ends_with(Tampered, Code.FINDING, "the file is not for this key, or it was changed")

disclose = typer.Typer(no_args_is_help=True, add_completion=False, help="Disclosure under a law, court or other order.")
_LISTED = ("request", "state", "times", "authority", "order", "groups", "by", "approved", "at")


@disclose.command("request")
def ask(
    *,
    authority: Annotated[str, typer.Option(help="Who orders it.")] = "",
    order: Annotated[str, typer.Option(help="The order's reference.")] = "",
    provision: Annotated[str, typer.Option(help="The provision that binds us: ZKP 219.")] = "",
    who: Annotated[str, typer.Option(help="The address, a website's name, or the pseudonym; `-`: stdin.")] = "",
    groups: Annotated[str, typer.Option(help="Field groups, by comma.")] = "",
    order_scope: Annotated[str, typer.Option(help="What the order reaches, by comma; default: --groups.")] = "",
    until: Annotated[dt.datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Its last day (UTC).")] = None,
    receiver_key: Annotated[Path | None, typer.Option(help="The receiver's public X25519 key, hex or PEM.")] = None,
    officer_key: OfficerKey = None,
    as_json: Json = False,
) -> None:
    """Ask for a disclosure. Nothing leaves before two officers approved it; what is missing is refused.

    Example: `preklic disclose request --authority "OK Ljubljana" --order "II Kpr 12/2026" --provision "ZKP 219"
    --who - --groups contact --until 2026-12-31 --receiver-key court.pem`
    """
    chosen, scope, typed = groups_of(groups), groups_of(order_scope or groups), asked(who)
    said = {name: words(name, text) for name, text in (("authority", authority), ("order", order))}
    said |= {"provision": words("provision", provision)}
    receiver = receivers.public_hex(receiver_key) if receiver_key else ""

    async def work(law: Law, signer: Signer) -> Request:
        person = await person_of(law, typed) if typed else ""
        end = millis(end_of(until)) if until else 0
        wanted = disclosures.Wanted(**said, person=person, scope=scope, groups=chosen, until=end, receiver=receiver)
        return await disclosures.ask(law, signer, wanted)

    made = sits(work, officer_key, "disclose", opens=True)
    if as_json:
        show_json({"request": made.id, "state": "pending"})
        return
    say(f"asked: {made.id}; two officers say: preklic disclose approve {made.id}")


@disclose.command()
def approve(request: RequestId, *, officer_key: OfficerKey = None, as_json: Json = False) -> None:
    """Approve a request with your own key, for all that it says. Two different officers must.

    Example: `preklic disclose approve 0193a1b2-... --officer-key mojca.ed25519`
    """
    chosen = request_id(request)
    body = sits(lambda law, signer: disclosures.approve(law, signer, chosen), officer_key, "disclose")
    if as_json:
        show_json({"request": chosen, "order": body.order, "groups": body.groups})
        return
    say(f"approved {chosen}: {', '.join(body.groups)} for {body.authority}, {body.order}, {body.provision}")


@disclose.command()
def export(
    request: RequestId,
    *,
    out: Annotated[Path, typer.Option(help="The new sealed file; nothing is ever replaced.")],
    groups: Annotated[str, typer.Option(help="Fewer groups than were asked for, by comma.")] = "",
    again: Annotated[str, typer.Option(help="Why it is exported once more; it is recorded.")] = "",
    officer_key: OfficerKey = None,
    as_json: Json = False,
) -> None:
    """Seal the data to the receiver's key, once; recorded before it is written.

    Example: `preklic disclose export 0193a1b2-... --out disclosure.sealed`
    """
    chosen, narrower, why = request_id(request), groups_of(groups), words("again", again)

    async def work(law: Law, signer: Signer) -> int:
        with private_file(out) as file:
            return await disclosures.export(law, signer, chosen, file, groups=narrower, again=why)

    times = sits(work, officer_key, "disclose", opens=True)
    if as_json:
        show_json({"request": chosen, "file": str(out), "times": times})
        return
    say(f"sealed to its receiver: {out}; open it with: preklic disclose open --key FILE {out}")


@disclose.command("list")
def list_requests(*, limit: Annotated[int, typer.Option(min=1, max=1000)] = 100, as_json: Json = False) -> None:
    """Requests with their state, the newest first.

    Example: `preklic disclose list`
    """
    rows = listed(lambda law: disclosures.listing(law, limit))
    show(rows, _LISTED, title="Disclosures", as_json=as_json)


@disclose.command("open")
def open_file(
    file: Annotated[Path, typer.Argument(help="The sealed file.")],
    *,
    key: Annotated[Path, typer.Option(help="The receiver's private X25519 key: raw, hex or PEM.")],
) -> None:
    """Print what a sealed file holds, as JSON: for its receiver, without settings or services.

    Example: `preklic disclose open disclosure.sealed --key court-private.pem`
    """
    try:
        data = file.read_bytes()
    except OSError as error:
        raise Stop(Code.USAGE, f"{file} cannot be read ({type(error).__name__})") from None
    sys.stdout.write(disclosures.opened(data, receivers.private(key)).decode() + "\n")
