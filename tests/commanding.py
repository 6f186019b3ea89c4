"""Runs `preklic` commands in this process, by the entry points of this very tree, whatever is installed."""

import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

from typer.exceptions import TyperException

from preklic_shared import cli

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"


def points(group):
    named = tomllib.loads(PYPROJECT.read_text("utf-8"))["project"]["entry-points"][group]
    return [EntryPoint(name, value, group) for name, value in named.items()]


def parse(words):
    """Parse a command line as `preklic` would, without running it. Raises TyperException."""
    (name, *rest) = words
    (point,) = [point for point in points(cli.GROUP) if point.name == name] or [None]
    if point is None:
        raise TyperException(f"there is no command {name}")
    command = cli.load_command(point)
    while hasattr(command, "commands") and rest:
        found = command.commands.get(rest[0])
        if found is None:
            raise TyperException(f"there is no command {name} {rest[0]}")
        command, rest = found, rest[1:]
    command.make_context(name, list(rest)).close()


class Commands:
    """`run(...)` gives the exit status, what was printed and what was complained of."""

    def __init__(self, monkeypatch, capsys, environment):
        monkeypatch.setattr(cli, "entry_points", points)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        self._capsys = capsys

    def __call__(self, *arguments):
        self._capsys.readouterr()
        code = cli.run(list(arguments))
        return (code, *self._capsys.readouterr())
