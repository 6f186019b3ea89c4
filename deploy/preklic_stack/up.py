"""`preklic up`: everything running on this machine, with its addresses, until Ctrl-C."""

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from preklic_shared.cli import Code, Stop, ends_with
from preklic_stack.children import NotReady
from preklic_stack.demo import RUN_DIR
from preklic_stack.household import SITE, Household, household
from preklic_stack.programs import Missing
from preklic_stack.stack import AlreadyRunning, Stack, running_stack

ends_with(Missing, Code.AWAY, "make up installs what is missing; or give PREKLIC_AMQP_URL and PREKLIC_MONGO_URL")
ends_with(NotReady, Code.AWAY, "the logs are below .run/")
ends_with(AlreadyRunning, Code.USAGE)


def up(
    *,
    run_dir: Annotated[Path, typer.Option(help="Where the services keep data and logs.")] = RUN_DIR,
) -> None:
    """Start everything on this machine, print the addresses, and keep it running until Ctrl-C.

    Example: `preklic up`
    """
    console = Console(highlight=False)
    with (
        running_stack(run_dir, lambda line: console.print(f"  [dim]{line}[/]"), locked=True) as stack,
        household(stack) as home,
    ):
        console.print(addresses(stack, home))
        site, operator = write_environments(home)
        console.print(f"In another shell, as a website: [bold]set -a; . {escape(str(site))}; set +a[/]", soft_wrap=True)
        console.print("  preklic send gregor@primer.example --purpose payment --template payment \\", soft_wrap=True)
        console.print("""    --data '{"invoice": "1", "amount": "12,00 EUR", "due": "1. 1. 2027"}'""", soft_wrap=True)
        console.print(f"or as the operator: [bold]set -a; . {escape(str(operator))}; set +a[/]", soft_wrap=True)
        console.print("  preklic queues; preklic account; preklic dead groups")
        console.print("[dim]Ctrl-C stops everything.[/]")
        watch(home)


def addresses(stack: Stack, home: Household) -> Table:
    """Where everything listens."""
    table = Table("service", "address", title="Preklic is up", title_justify="left")
    table.add_row("gateway", home.gateway_url)
    table.add_row("feedback listener (SMTP)", f"127.0.0.1:{home.feedback_port}, for {home.site.mail_domain}")
    table.add_row("outgoing webhooks", home.hooks_url)
    table.add_row("inbox of the mail sink", stack.sink.url)
    table.add_row("RabbitMQ", f"amqp://{stack.rabbit.host}:{stack.rabbit.port}")
    table.add_row("RabbitMQ management", f"{stack.rabbit.management.url} ({stack.rabbit.user})")
    table.add_row("MongoDB", stack.mongo.url.rpartition("@")[2])
    health = ", ".join(f"{name} {port}" for name, port in home.health.items() if name != "gateway")
    table.add_row("/readyz, /metrics on port", health)
    table.add_row("settings, keys, logs", f"{home.system.folder} (preklic.toml, keys/, log/)")
    return table


def write_environments(home: Household) -> tuple[Path, Path]:
    """Two private files to source in a shell: a website's settings, and the operator's."""
    written = []
    for name, user in (("website", SITE), ("operator", "upkeep")):
        given = home.system.environment("" if name == "website" else user)
        values = {key: value for key, value in given.items() if key.startswith("PREKLIC_")}
        values |= {"PREKLIC_AMQP_URL": home.amqp_url(user), "PREKLIC_GATEWAY_URL": home.gateway_url}
        values["PREKLIC_SEALING_PIN"] = str(home.site.sealing_pin)
        path = home.system.folder / f"{name}.env"
        path.touch(mode=0o600)
        path.write_text("".join(f"{key}='{value}'\n" for key, value in sorted(values.items())))
        written.append(path)
    return written[0], written[1]


def watch(home: Household) -> None:
    """Return never, but when a process of ours ends: then the rest is stopped too."""
    while True:
        for child in home.processes:
            if not child.alive():
                raise Stop(Code.FINDING, f"{child.name} has ended", child.tail(5))
        time.sleep(0.5)
