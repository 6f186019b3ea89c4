"""`preklic topology` and `preklic schema`: what broker, database and other languages must agree on."""

import asyncio
import json
import os
import secrets
import sys
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from pika.exceptions import AMQPChannelError

from preklic_shared import jobs, topology_apply
from preklic_shared.cli import Code, Json, Stop, ends_with, say, settings, show, show_json
from preklic_shared.publication import Unavailable as BrokerAway
from preklic_shared.registry import Registry, load_registry
from preklic_shared.settings import Settings
from preklic_shared.topology import ROLES, definitions
from preklic_workers import binding_drift, starting, store
from preklic_workers.doctor.broker import hidden
from preklic_workers.durable import replace
from preklic_workers.management import Management, NoManagement
from preklic_workers.store import rights
from preklic_workers.store import schema as store_schema
from preklic_workers.store.mongo import Mongo
from preklic_workers.store.versions import Versions

ends_with(store.Unavailable, Code.AWAY, "is MongoDB running, and PREKLIC_MONGO_URL right? try: preklic doctor")
ends_with(store.Standalone, Code.USAGE, "start MongoDB with --replSet and initiate the set")
ends_with(BrokerAway, Code.AWAY, "is RabbitMQ running, and PREKLIC_AMQP_URL right? try: preklic doctor")
ends_with(
    AMQPChannelError, Code.FINDING, "something of that name has other arguments: move its jobs, delete it, apply again"
)

Users = Annotated[list[str] | None, typer.Option(help="A role, or role.name (website.shop); may repeat.")]
Passwords = Annotated[Path | None, typer.Option(help="JSON file of user to password; made, mode 600, if it is absent.")]
Version = Annotated[str, typer.Option(metavar="VERSION", help="Of the broker: 4.0 knows arguments that 3.13 refuses.")]
Out = Annotated[Path | None, typer.Option(help="The file to write, mode 600; without it, standard output.")]

topology = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Queues, exchanges and bindings; collections, validators and indexes: one command owns them all.",
)


@topology.command()
def apply() -> None:
    """Declare what is missing on RabbitMQ and in MongoDB. Safe to repeat; deletes nothing.

    Example: `preklic topology apply`
    """
    config = settings()
    topology_apply.apply(config.amqp_url)
    say("broker: exchanges, queues and bindings are there")
    asyncio.run(_with_mongo(config, lambda mongo: _apply_database(mongo, load_registry(config.registry))))
    say("database: collections, validators and indexes are there")


@topology.command()
def check(*, as_json: Json = False) -> None:
    """Show what is missing, differs, or is there although nobody declared it; changes nothing. Ends with 1 if any does.

    Bindings are compared over PREKLIC_MANAGEMENT_URL; without it they are not, and that is said.

    Example: `preklic topology check --json`
    """
    findings = drift(settings())
    show(findings, ("where", "name", "problem", "detail"), title="Drift", as_json=as_json)
    if findings:
        raise typer.Exit(Code.FINDING)


@topology.command("definitions")
def show_definitions(
    *,
    user: Users = None,
    passwords: Passwords = None,
    vhost: Annotated[str, typer.Option(help="The virtual host.")] = "/",
    rabbitmq: Version = "3.10",
    locked: Annotated[
        bool, typer.Option("--locked", help="No passwords: users that cannot log in, to read and to compare.")
    ] = False,
    out: Out = None,
) -> None:
    """RabbitMQ's definitions: a user for each role with the rights it needs, and the whole topology.

    Passwords stand in them as salted hashes, and in the file of `--passwords` as they are.

    Example: `preklic topology definitions --rabbitmq 4.0 --passwords users.json --out definitions.json`
    """
    if passwords is None and not locked:
        raise Stop(Code.USAGE, "--passwords names the file that holds the users' passwords, or where to make it")
    users = user or [role for role in ROLES if role != "website"] + ["website.site"]
    words = dict.fromkeys(users, "") if passwords is None else _passwords(passwords, users)
    _write(json.dumps(_definitions(words, vhost, rabbitmq), indent=2) + "\n", out)


@topology.command("roles")
def show_roles(*, out: Out = None) -> None:
    """MongoDB's roles as a script for mongosh: which role may read, add, change and remove, in which collection.

    With PREKLIC_USERS it makes a user for each entry of that file of passwords too, which RabbitMQ's come from as well.

    Example: `preklic topology roles --out roles.js && PREKLIC_USERS=users.json mongosh "$ADMIN_URL" roles.js`
    """
    _write(rights.script(settings().mongo_database), out)


def schema(
    *,
    kind: Annotated[str | None, typer.Argument(help="One kind of job, such as send; without it, all.")] = None,
) -> None:
    """Print the JSON Schemas of the jobs and of what they seal, for producers in other languages.

    Example: `preklic schema send`
    """
    kinds = {job.KIND: job for job, _ in jobs.ACTORS.values()}
    if kind is not None and kind not in kinds:
        raise Stop(Code.USAGE, f"there is no kind {kind}", f"kinds: {', '.join(sorted(kinds))}")
    show_json({name: _schemas(job) for name, job in sorted(kinds.items()) if kind in {None, name}})


def drift(config: Settings) -> list[dict[str, str]]:
    """What broker and database lack or have otherwise, as rows of where, name, problem and detail."""
    findings = topology_apply.check(config.amqp_url) + _binding_drift(config)
    if any(hidden(one) for one in findings):
        raise Stop(
            Code.POLICY, f"the user {config.producer} may not compare arguments", "run it as the AMQP user topology"
        )
    found = [
        {"where": "broker", "name": f"{one.kind} {one.name}", "problem": one.problem, "detail": one.detail}
        for one in findings
    ]
    lacking = database_drift(config)
    return found + [{"where": "database", "name": "", "problem": "differs", "detail": line} for line in lacking]


def _binding_drift(config: Settings) -> list[topology_apply.Finding]:
    try:
        return binding_drift.look(Management(config))
    except NoManagement as error:
        say(f"bindings were not compared: {error}; {error.mend}", err=True)
        return []


def database_drift(config: Settings) -> list[str]:
    """What the database lacks or has otherwise, a line each."""
    lines: list[str] = asyncio.run(_with_mongo(config, store_schema.check))
    return lines


async def _apply_database(mongo: Mongo, registry: Registry) -> None:
    await store_schema.apply(mongo)
    mine = starting.fingerprint(registry)
    if await Versions(mongo).apply_registry(registry.version, mine) != mine:
        raise Stop(Code.FINDING, starting.mismatch(registry))


def _schemas(job: type[jobs.Job]) -> dict[str, Any]:
    payload = jobs.PAYLOADS.get(job)
    schemas = {"version": job.VERSION, "job": msgspec.json.schema(job)}
    return schemas if payload is None else schemas | {"sealed": msgspec.json.schema(payload)}


async def _with_mongo(config: Settings, work: Any) -> Any:
    mongo = await Mongo.open(config.mongo_url, config.mongo_database)
    try:
        return await work(mongo)
    finally:
        mongo.close()


def _definitions(words: dict[str, str], vhost: str, rabbitmq: str) -> dict[str, Any]:
    try:
        version = tuple(int(part) for part in rabbitmq.split("."))[:2]
    except ValueError:
        raise Stop(Code.USAGE, f"{rabbitmq} is no version", "such as 4.0") from None
    try:
        return definitions(words, vhost, version)
    except KeyError as error:
        raise Stop(Code.USAGE, f"there is no role for the user {error}", f"roles: {', '.join(ROLES)}") from None


def _write(text: str, out: Path | None) -> None:
    if out is None:
        sys.stdout.write(text)
        return
    replace(out, text.encode())
    say(f"wrote {out}", err=True)


def _passwords(file: Path, users: list[str]) -> dict[str, str]:
    if file.exists():
        words: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))
        return words
    words = {user: secrets.token_urlsafe(24) for user in users}
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        json.dump(words, out, indent=2)
    return words
