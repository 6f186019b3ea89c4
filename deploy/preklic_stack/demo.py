"""`preklic demo`: the whole promise on real parts, step by step, with a table that accounts for every job."""

import json
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.panel import Panel

from preklic_shared.cli import Code, Stop, ends_with
from preklic_stack.children import NotReady
from preklic_stack.household import ROLES, household
from preklic_stack.programs import Missing
from preklic_stack.scenes import SCENES
from preklic_stack.stack import AlreadyRunning, running_stack
from preklic_stack.stage import Stage, Surprise

ends_with(Missing, Code.AWAY, "make demo installs what is missing; or give PREKLIC_AMQP_URL and PREKLIC_MONGO_URL")
ends_with(NotReady, Code.AWAY, "the logs are below .run/")
ends_with(AlreadyRunning, Code.USAGE)

RUN_DIR = Path(__file__).resolve().parents[2] / ".run"


def demo(
    *,
    run_dir: Annotated[Path, typer.Option(help="Where the services keep data and logs.")] = RUN_DIR,
) -> None:
    """Start everything on this machine, run the main job on real parts, show each step, stop everything.

    Example: `preklic demo`
    """
    console = Console(highlight=False)
    console.print(Panel("[bold]Preklic[/]: no mail leaves after a no.\nAll servers are real; the people are not."))
    began = time.monotonic()

    def tell(line: str) -> None:
        console.print(f"  [dim]{line}[/]")

    with running_stack(run_dir, tell, locked=True) as stack, household(stack) as home:
        tell(f"gateway, feedback listener and {len(ROLES)} workers are ready,")
        tell("each with its own keys and users of broker and database")
        unaccounted = play(Stage(home, stack.sink, console))
    console.print(f"[dim]{time.monotonic() - began:.0f} s; everything is stopped[/]")
    if unaccounted != 0:
        raise Stop(Code.FINDING, f"{unaccounted} jobs are unaccounted for")
    console.print("[bold green]Every job is accounted for.[/]")


def play(stage: Stage) -> int:
    """All scenes, then the closing table; how many jobs are nowhere. Raises Stop when a scene fails."""
    try:
        for title, scene in SCENES:
            stage.scene(title)
            scene(stage)
        stage.console.print(stage.home.command("account", expect=None))
        unaccounted: int = json.loads(stage.home.command("account", "--json", expect=None))["unaccounted"]
    except Surprise as surprise:
        raise Stop(Code.FINDING, f"the demo expected otherwise: {surprise}", "the logs are below .run/") from None
    finally:
        stage.close()
    return unaccounted
