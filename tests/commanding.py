"""Runs `preklic` commands in this process, by the entry points of this very tree, whatever is installed."""

import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

from preklic_shared import cli

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"


def points(group):
    named = tomllib.loads(PYPROJECT.read_text("utf-8"))["project"]["entry-points"][group]
    return [EntryPoint(name, value, group) for name, value in named.items()]


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
