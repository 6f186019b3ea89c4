"""The frame of the command `preklic`. Each room brings its commands by the entry point group `preklic.commands`.

An entry point's name is the command's; its object is a function with Typer's annotations or a Typer application. It
is imported only when it is named, so that a machine with one extra runs that extra's commands. Exit status: 0 done,
1 finding, 2 usage, 3 a service is away, 4 refused by policy.
"""

import datetime as dt
import json
import os
import sys
from collections.abc import Mapping, Sequence
from enum import IntEnum
from importlib.metadata import EntryPoint, entry_points, version
from typing import Annotated, Any, Final, NoReturn

import msgspec
import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from typer.core import TyperGroup
from typer.exceptions import Abort, Exit, TyperException

from preklic_shared.registry import RegistryError
from preklic_shared.settings import Settings, SettingsError, load_settings

GROUP: Final = "preklic.commands"
PIPE_WIDTH: Final = 200
# Which extra brings what an absent module is part of; anything else is a broken installation.
EXTRAS: Final[Mapping[str, str]] = {
    "preklic_stack": "the development stack: a clone of the repository, and `make demo` or `make up` there",
    "preklic_producers.": 'pip install "preklic[gateway]"',
    "preklic_workers.": 'pip install "preklic[workers]"',
}
Json = Annotated[bool, typer.Option("--json", help="Print JSON for a program instead of a table.")]


class Code(IntEnum):
    """Exit statuses."""

    DONE = 0
    FINDING = 1
    USAGE = 2
    AWAY = 3
    POLICY = 4


class Stop(Exception):
    """End the command with this status and one line for the person, `hint` saying what to do."""

    def __init__(self, code: Code, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint


_EXITS: dict[type[Exception], tuple[Code, str]] = {}


def ends_with(kind: type[Exception], code: Code, hint: str = "") -> None:
    """Let every command of a room answer exceptions of `kind` with this status and hint."""
    _EXITS[kind] = (code, hint)


ends_with(SettingsError, Code.USAGE)
ends_with(RegistryError, Code.USAGE)


class Rooms(TyperGroup):
    """The commands of all rooms that are installed, by name."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - Typer's signature
        """The names of all commands, sorted."""
        return sorted(point.name for point in entry_points(group=GROUP))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - Typer's signature
        """The command of that name, imported now; None when no room has it."""
        found = [point for point in entry_points(group=GROUP) if point.name == cmd_name]
        return load_command(found[0]) if found else None


def load_command(point: EntryPoint) -> Any:
    """The command behind an entry point; one that says what to install when a library is not there."""
    try:
        loaded = point.load()
    except ModuleNotFoundError as error:
        return _command(point.name, _absent(point, error.name or "a module"))
    return _command(point.name, loaded)


def _command(name: str, loaded: Any) -> Any:
    if not isinstance(loaded, typer.Typer):
        single = typer.Typer(add_completion=False, rich_markup_mode="markdown")
        single.command(name)(loaded)
        loaded = single
    command = typer.main.get_command(loaded)
    command.name = name
    return command


def _absent(point: EntryPoint, module: str) -> Any:
    hint = next((text for start, text in EXTRAS.items() if point.value.startswith(start)), "")

    def absent() -> None:
        raise Stop(Code.USAGE, f"`preklic {point.name}` needs {module}, which is not installed here", hint)

    absent.__doc__ = f"(not installed: {hint})"
    return absent


app = typer.Typer(
    cls=Rooms,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(*, asked: bool) -> None:
    if asked:
        sys.stdout.write(f"preklic {version('preklic')}\n")
        raise Exit(Code.DONE)


@app.callback(epilog="Exit status: 0 done, 1 finding, 2 usage, 3 a service is away, 4 refused by policy.")
def preklic(
    *,
    show_version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", is_eager=True, callback=lambda v: _show_version(asked=v)),
    ] = False,
) -> None:
    """Preklic sends permitted e-mail: no mail leaves after a no."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit with its status."""
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; its exit status. Errors are one line on stderr with what to do, never a traceback."""
    try:
        returned = typer.main.get_command(app)(
            args=None if arguments is None else list(arguments), prog_name="preklic", standalone_mode=False
        )
    except TyperException as error:
        message = getattr(error, "format_message", error.__str__)()
        return _complain(Code.USAGE, message, "preklic --help shows what there is")
    except Stop as stop:
        return _complain(stop.code, stop.message, stop.hint)
    except (Abort, KeyboardInterrupt):
        return 130
    except Exit as ended:
        return ended.exit_code
    except tuple(_EXITS) as error:
        code, hint = next(answer for kind, answer in _EXITS.items() if isinstance(error, kind))
        return _complain(code, str(error) or type(error).__name__, hint)
    return returned if isinstance(returned, int) else Code.DONE


def settings() -> Settings:
    """The settings of this process: environment over the file of `PREKLIC_CONFIG`."""
    return load_settings(os.environ)


def show(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], *, title: str, as_json: bool) -> None:
    """Print a listing as a table of these columns, or all of each row as JSON."""
    if as_json:
        show_json(rows)
        return
    # A pipe has no width of its own; what is folded there cannot be searched.
    shown = table_of(rows, columns, title=title) if rows else f"{title}: none"
    Console(width=None if sys.stdout.isatty() else PIPE_WIDTH).print(shown)


def table_of(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], *, title: str) -> Table:
    """A listing as a table of these columns."""
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")  # an id that is cut cannot be copied
    for row in rows:
        table.add_row(*(escape(_cell(row.get(column, ""))) for column in columns))
    return table


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:%Y-%m-%d %H:%M:%S}" if isinstance(value, dt.datetime) else str(value)


def show_json(value: Any) -> None:
    """Print `value` as indented JSON (dates as ISO 8601, bytes as base64)."""
    sys.stdout.write(json.dumps(msgspec.to_builtins(value), indent=2, ensure_ascii=False) + "\n")


def say(line: str, *, err: bool = False) -> None:
    """Print one line for a person, with `err` where a program that reads the output does not see it."""
    Console(stderr=err).print(line, highlight=False, soft_wrap=True)


def _complain(code: Code, message: str, hint: str) -> int:
    if not message:  # the help was shown already
        return code
    console = Console(stderr=True)
    console.print(f"[bold red]preklic:[/] {escape(message)}", highlight=False, soft_wrap=True)
    if hint:
        console.print(f"  [dim]{escape(hint)}[/]", highlight=False, soft_wrap=True)
    return code
