"""All of Preklic on a running stack: gateway, feedback listener and a process for each role, each a broker user."""

import json
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from preklic_shared.settings import Settings, load_settings
from preklic_shared.topology import definitions
from preklic_stack import mongo_users
from preklic_stack.children import Child, NotReady
from preklic_stack.ports import free_ports
from preklic_stack.receiver import endpoint, receiver
from preklic_stack.stack import Stack
from preklic_stack.system import System

# `track` needs no key; `upkeep` also serves the commands that look.
ROLES = ("send", "track", "revoke", "record", "answer", "campaign", "upkeep", "webhook", "ledger")
SITE = "website.site"
READY_SECONDS = 40


@dataclass
class Household:
    """A running Preklic. `gateway_url` is its public face; `site` are the settings of a website that publishes.

    `feedback_port` speaks SMTP to whoever returns a mail, `hooks_url` shows the outgoing webhooks, `health` are the
    ports of `/readyz` and `/metrics` by process.
    """

    system: System
    gateway_url: str
    site: Settings
    passwords: dict[str, str]
    feedback_port: int
    hooks_url: str
    health: dict[str, int]
    processes: list[Child] = field(default_factory=list)

    def amqp_url(self, user: str) -> str:
        """The broker's URL for one of the users; the only one there is, when the broker was given."""
        rabbit = self.system.rabbit
        return (
            rabbit.amqp_url(self.system.vhost, user, self.passwords[user])
            if self.passwords
            else rabbit.amqp_url(self.system.vhost)
        )

    def command(self, *arguments: str, expect: int | None = 0) -> str:
        """Run `preklic ...` as the operator (role and user upkeep); what it printed."""
        return self.system.run(*arguments, role="upkeep", expect=expect)


@contextmanager
def household(stack: Stack, vhost: str = "/", database: str = "preklic") -> Iterator[Household]:
    """Prepare and start everything on this stack, on a vhost that exists; stopped on the way out."""
    folder = stack.run_dir / "preklic"
    forget(folder)
    with receiver(folder) as hooks_url:
        more = endpoint(folder, hooks_url)
        system = System(folder, stack.children, stack.rabbit, stack.mongo, stack.sink, vhost, database, more=more)
        mongo_users.make_users(stack.mongo, database)
        system.prepare()
        home = furnished(system, hooks_url)
        try:
            start(home)
            yield home
        finally:
            # Senders first: what they have under way is settled while the rest still runs.
            for child in reversed(home.processes):
                child.stop()
            mongo_users.forget_users(stack.mongo, database)


def furnished(system: System, hooks_url: str) -> Household:
    """Its users and ports; nothing is started yet."""
    passwords = make_users(system)
    feedback_port, *ports = free_ports(3 + len(ROLES))
    health: dict[str, int] = dict(zip(("gateway", "feedback", *ROLES), ports, strict=True))
    gateway_url = f"http://127.0.0.1:{health['gateway']}"
    site = settings_of(system, gateway_url)
    home = Household(system, gateway_url, site, passwords, feedback_port, hooks_url, health)
    home.site = settings_of(system, gateway_url, home.amqp_url(SITE))
    return home


def start(home: Household) -> None:
    """Start every process, and wait until all are ready."""
    home.processes += [_start_gateway(home), _start_feedback(home), *(_start_worker(home, role) for role in ROLES)]
    home.system.children.ports += [home.feedback_port, *home.health.values()]
    for child in home.processes:
        wait_ready(child, home.health[child.name])


def make_users(system: System) -> dict[str, str]:
    """A broker user for each role, limited as `topology` says; none on a broker that was given."""
    if system.rabbit.child is None:
        return {}
    passwords = {user: secrets.token_urlsafe(18) for user in (*ROLES, "gateway", "feedback", SITE)}
    system.rabbit.management.call(
        "POST", "definitions", definitions(passwords, system.vhost, system.rabbit.management.version())
    )
    return passwords


def settings_of(system: System, gateway_url: str, amqp_url: str | None = None) -> Settings:
    """The settings that a process of ours has, in this process."""
    environment = system.environment() | {"PREKLIC_GATEWAY_URL": gateway_url, "PREKLIC_PUBLIC_URL": gateway_url}
    environment["PREKLIC_SEALING_PIN"] = (system.keys / "producers" / "root.pub").read_text(encoding="ascii")
    return load_settings(environment | ({"PREKLIC_AMQP_URL": amqp_url} if amqp_url else {}))


def forget(folder: Path) -> None:
    """Delete what an earlier run left: its keys open nothing any more, because its databases are gone."""
    if folder.exists():
        for path in sorted(folder.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()


def wait_ready(child: Child, port: int, seconds: float = READY_SECONDS) -> None:
    """Until `/readyz` says so. Raises `NotReady` with the end of the process's log."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and child.alive():
        try:
            with urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as answer:
                json.loads(answer.read())
        except (HTTPError, URLError, OSError):
            time.sleep(0.1)
        else:
            return
    raise NotReady(f"{child.name} did not become ready: {child.tail()}")


def _start_gateway(home: Household) -> Child:
    extra = {
        "PREKLIC_AMQP_URL": home.amqp_url("gateway"),
        "PREKLIC_PUBLIC_URL": home.gateway_url,
        "PREKLIC_OUTBOX": str(home.system.folder / "gateway.outbox"),
    }
    return home.system.start("gateway", "--port", str(home.health["gateway"]), role="gateway", extra=extra)


def _start_feedback(home: Household) -> Child:
    extra = {
        "PREKLIC_AMQP_URL": home.amqp_url("feedback"),
        "PREKLIC_OUTBOX": str(home.system.folder / "feedback.outbox"),
        "PREKLIC_METRICS_PORT": str(home.health["feedback"]),
    }
    return home.system.start("feedback", "--port", str(home.feedback_port), role="feedback", extra=extra)


def _start_worker(home: Household, role: str) -> Child:
    extra = {
        "PREKLIC_AMQP_URL": home.amqp_url(role),
        "PREKLIC_PUBLIC_URL": home.gateway_url,
        "PREKLIC_METRICS_PORT": str(home.health[role]),
    }
    return home.system.start("worker", role, role=role, extra=extra)
