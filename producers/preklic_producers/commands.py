"""`preklic send`, `grant`, `revoke` and `enrich`: what a website does, by hand."""

import json
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from preklic_producers.courier import Receipt, Unavailable
from preklic_producers.fields import Rejected
from preklic_producers.producer import Producer
from preklic_shared.cli import Code, Json, Stop, ends_with, say, settings, show_json
from preklic_shared.jobs import Proof
from preklic_shared.sealing import SealingError

Group = Literal["profile", "service", "payments", "recovery", "court"]
Method = Literal["form", "double_opt_in", "contract", "import", "paper", "api"]

ends_with(Rejected, Code.USAGE)
ends_with(SealingError, Code.USAGE, "preklic keys publish writes the file; PREKLIC_SEALING_KEYS names it")
ends_with(Unavailable, Code.AWAY, "is RabbitMQ running, and PREKLIC_AMQP_URL right? try: preklic doctor")

Who = Annotated[str, typer.Argument(help="The address, or the website's own name for the person; `-` reads stdin.")]
Key = Annotated[str | None, typer.Option("--key", help="Idempotency key: the same key is the same job.")]
Data = Annotated[str, typer.Option("--data", help="JSON object, or @FILE that holds one.")]


def send(
    to: Annotated[str, typer.Argument(help="The address; `-` reads it from stdin.")],
    *,
    purpose: Annotated[str, typer.Option(help="A mail purpose of the registry.")],
    template: Annotated[str, typer.Option(help="A template of that purpose.")],
    data: Data = "{}",
    ref: Annotated[str | None, typer.Option(help="The website's own name for the person.")] = None,
    key: Key = None,
    after: Annotated[str | None, typer.Option(help="Job id of a grant that must be recorded first.")] = None,
    at: Annotated[str | None, typer.Option(help="Not before then: ISO 8601 with a zone, up to 21 days ahead.")] = None,
    hours: Annotated[float | None, typer.Option(help="Hours from then (or now) until the mail is of no use.")] = None,
    reply_to: Annotated[str | None, typer.Option(help="Address for answers.")] = None,
    as_json: Json = False,
) -> None:
    """Publish one mail; it leaves only if the person permits its purpose then.

    Example: `preklic send ana@primer.si --purpose payment --template payment --data '{"amount": "12,00"}'`
    """
    expires = None if hours is None else timedelta(hours=hours)
    with Producer(settings()) as producer:
        receipt = producer.send(
            _given(to),
            purpose,
            template,
            _object(data),
            ref=ref,
            idempotency_key=key,
            after=after,
            send_at=None if at is None else _moment(at),
            expires=expires,
            reply_to=reply_to,
        )
    _tell(receipt, as_json=as_json)


def grant(
    who: Annotated[str, typer.Argument(help="The address; `-` reads it from stdin.")],
    *,
    purpose: Annotated[list[str], typer.Option(help="A purpose or tracking switch; may repeat.")],
    wording: Annotated[str, typer.Option(help="Version of the words that the person agreed to.")],
    source: Annotated[str, typer.Option(help="Where the permission was given.")],
    method: Annotated[Method, typer.Option(help="How it was given.")] = "paper",
    ref: Annotated[str | None, typer.Option(help="The website's own name for the person.")] = None,
    confirmed: Annotated[bool, typer.Option("--confirmed", help="The address is proven to be the person's.")] = False,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Record permissions with their proof.

    Example: `preklic grant ana@primer.si --purpose newsletter --wording v3 --source fair --confirmed`
    """
    proof = Proof(wording=wording, source=source, method=method)
    with Producer(settings()) as producer:
        receipt = producer.grant(_given(who), purpose, proof=proof, ref=ref, confirmed=confirmed, idempotency_key=key)
    _tell(receipt, as_json=as_json)


def revoke(
    who: Who,
    *,
    purpose: Annotated[list[str] | None, typer.Option(help="What to stop; may repeat. Without it: all.")] = None,
    reason: Annotated[str, typer.Option(help="Why; it must hold no address.")] = "asked by the person",
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Withdraw permissions: no mail for them leaves once this is applied.

    Example: `preklic revoke ana@primer.si --purpose newsletter --reason "asked by telephone"`
    """
    with Producer(settings()) as producer:
        receipt = producer.revoke(_given(who), purpose or "all", reason=reason, idempotency_key=key)
    _tell(receipt, as_json=as_json)


def enrich(
    who: Who,
    *,
    group: Annotated[Group, typer.Option(help="The field group.")],
    source: Annotated[str, typer.Option(help="Where the data came from.")],
    data: Data = "{}",
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Join fields to a person, each group under a key of its own.

    Example: `preklic enrich ana@primer.si --group profile --source crm --data '{"name": "Ana"}'`
    """
    with Producer(settings()) as producer:
        receipt = producer.enrich(_given(who), group, _object(data), source=source, idempotency_key=key)
    _tell(receipt, as_json=as_json)


def _given(who: str) -> str:
    # An address on a command line stays in the shell's history; stdin does not.
    return sys.stdin.readline().strip() if who == "-" else who


def _object(text: str) -> dict[str, Any]:
    try:
        raw = Path(text[1:]).read_text(encoding="utf-8") if text.startswith("@") else text
        value = json.loads(raw)
    except (OSError, ValueError):
        raise Stop(Code.USAGE, "--data is no JSON object") from None
    if not isinstance(value, dict):
        raise Stop(Code.USAGE, "--data is no JSON object")
    return value


def _moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise Stop(Code.USAGE, "--at is a time with its zone, as in 2026-12-01T09:00+01:00") from None


def _tell(receipt: Receipt, *, as_json: bool) -> None:
    if as_json:
        show_json({"id": receipt.job_id, "status": receipt.status})
    else:
        say(f"{receipt.status} {receipt.job_id}")
