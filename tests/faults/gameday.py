"""Game days: something goes wrong with Preklic, and a script follows `deploy/runbook.md` word for word.

`python -m faults.gameday bad-template|relay|stop-all|all`; small ones are in `make test`. Every command of the runbook
is run as it stands there, as a process of its own; one that does not work fails the game, as a lost mail does.
"""

import argparse
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from faults import game_relay, game_stop, game_template
from faults.field import Field, Report, open_field
from faults.kill_run import say
from faults.launching import Launcher, Programs
from preklic_stack.places import quick_folder
from preklic_stack.stack import Stack, running_stack
from preklic_stack.system import System

GAMES: Final = ("bad-template", "relay", "stop-all")


def games(options: argparse.Namespace) -> Mapping[str, Callable[[Field], Report]]:
    """Each game in the size that the options ask for."""
    bad = game_template.Size(dead=options.dead, withdraw=options.withdraw, seconds=options.rest)
    relay = game_relay.Size(mails=options.mails, seconds=options.rest)
    stop = game_stop.Size(mails=options.mails, held=options.held, seconds=options.rest)
    return {
        "bad-template": partial(game_template.play, size=bad),
        "relay": partial(game_relay.play, size=relay),
        "stop-all": partial(game_stop.play, size=stop),
    }


def main() -> int:
    """The games on a stack of their own; 1 when one went wrong."""
    parser = argparse.ArgumentParser(prog="python -m faults.gameday", description=__doc__)
    parser.add_argument("game", choices=[*GAMES, "all"], nargs="?", default="all")
    parser.add_argument("--dead", type=int, default=game_template.Size.dead, help="mails that die of the template")
    parser.add_argument("--withdraw", type=int, default=game_template.Size.withdraw, help="people who say no meanwhile")
    parser.add_argument("--mails", type=int, default=game_stop.Size.mails, help="mails under way in the other games")
    parser.add_argument("--held", type=float, default=game_stop.Size.held, help="seconds that all stays stopped")
    parser.add_argument("--workers", type=int, default=2, help="send workers")
    parser.add_argument("--rest", type=float, default=400, help="seconds that the last mail may take")
    parser.add_argument("--json", type=Path, help="write the reports there")
    options = parser.parse_args()
    chosen = GAMES if options.game == "all" else (options.game,)
    with tempfile.TemporaryDirectory(dir=quick_folder()) as folder, running_stack(Path(folder), say) as stack:
        reports = [_played(stack, name, options) for name in chosen]
    if options.json:
        options.json.write_bytes(msgspec.json.encode(reports))
    return 1 if any(report.wrong for report in reports) else 0


def _played(stack: Stack, name: str, options: argparse.Namespace) -> Report:
    began = time.monotonic()
    with apart(stack, options.workers, say=say) as field:
        report = games(options)[name](field)
    report.figures["seconds"] = round(time.monotonic() - began)
    for line in report.lines():
        say(line)
    return report


@contextmanager
def apart(
    stack: Stack,
    workers: int,
    launcher: Launcher | None = None,
    say: Callable[[str], None] = lambda _: None,
    *,
    hasty: bool = False,
) -> Iterator[Field]:
    """A field on a virtual host and a database of its own: servers that were given may hold other things."""
    name = f"gameday-{uuid.uuid4().hex[:8]}"
    stack.rabbit.management.add_vhost(name)
    system = System(stack.run_dir / name, stack.children, stack.rabbit, stack.mongo, stack.sink, name, name)
    try:
        programs = launcher or Programs(stack.children, system.folder / "log")
        with open_field(system, programs, workers, say, hasty=hasty) as field:
            yield field
    finally:
        stack.sink = system.sink
        stack.rabbit.management.delete_vhost(name)
        stack.mongo.drop(name, f"{name}_keys")


if __name__ == "__main__":
    sys.exit(main())
