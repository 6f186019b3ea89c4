"""The feature table: every test that it links is there, one of them runs the row's command, and the command is one."""

import ast
import re
import shlex
from functools import cache
from pathlib import Path

import pytest

from commanding import parse

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "features.md"
# The rows that the table must have; each product has a word about each.
ASKED = (
    "dead list with reason",
    "group by error",
    "filter",
    "dry run by outcome",
    "rate of a replay",
    "idempotent replay",
    "audit of who and why",
    "time-window replay",
    "pause",
    "drain",
    "metrics",
    "autoscale by age",
    "deploy without loss",
    "health",
)
PRODUCTS = 6
LINK = re.compile(r"\[(test_\w+)\]\(([^)]+)\)")
WORD = re.compile(r"\[(yes|partly|no|paid)\]\((https://[^)\s]+)\)( \([^|]+\))?")


def tables():
    """Each table of the page: its rows, as cells, without the head."""
    found = re.findall(r"(?:^\|.*\n)+", PAGE.read_text("utf-8"), re.MULTILINE)
    return [[[cell.strip() for cell in row.strip("|\n").split(" | ")] for row in one.splitlines()[2:]] for one in found]


OURS, THEIRS = tables()
ROWS = {row[0].strip("| "): row for row in OURS}


@cache
def tree(file):
    return ast.parse(file.read_text("utf-8"))


def words_of(file):
    """What stands side by side in calls, lists and tuples of the test's module, and of our modules that it imports."""
    imported = [node.module for node in ast.walk(tree(file)) if isinstance(node, ast.ImportFrom) and node.module]
    imported += [
        f"{node.module}.{name.name}"
        for node in ast.walk(tree(file))
        if isinstance(node, ast.ImportFrom)
        for name in node.names
    ]
    beside = [ROOT / "tests" / f"{name.replace('.', '/')}.py" for name in imported]
    for module in (file, *(one for one in beside if one.is_file())):
        for node in ast.walk(tree(module)):
            given = getattr(node, "args", None) if isinstance(node, ast.Call) else getattr(node, "elts", None)
            if isinstance(given, list):
                yield [one.value if isinstance(one, ast.Constant) else None for one in given]


def runs(file, words):
    """Whether these words follow each other somewhere; but for the first, a name may stand for one."""
    return any(
        found[start : start + 1] == words[:1] and fits(found[start + 1 :], words[1:])
        for found in words_of(file)
        for start in range(len(found))
    )


def fits(found, words):
    return len(found) >= len(words) and all(one in {None, word} for one, word in zip(found, words, strict=False))


def test_every_row_is_there_in_both_tables():
    assert tuple(ROWS) == ASKED
    assert tuple(row[0].strip("| ") for row in THEIRS) == ASKED


@pytest.mark.parametrize("what", ASKED)
def test_each_row_links_tests_that_there_are_and_one_runs_its_command(what):
    _, command, tests = ROWS[what]
    words = shlex.split(command.strip("`"))[1:]
    parse(words)
    linked = [(name, (PAGE.parent / file).resolve()) for name, file in LINK.findall(tests)]
    assert linked
    for name, file in linked:
        named = {node.name for node in ast.walk(tree(file)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        assert name in named, (name, file)
    plain = [word for word in words if word.islower() and not word.startswith("-") and word.isalpha()]
    named = [word for word in words if word.startswith("--") and word != "--reason"]
    assert any(runs(file, plain[:2]) for _, file in linked), plain
    assert all(any(runs(file, [option]) for _, file in linked) for option in named), named


@pytest.mark.parametrize("row", THEIRS, ids=ASKED)
def test_each_word_about_another_product_leads_to_its_documentation(row):
    assert row[1] == "**yes**"
    said = row[2:]
    assert len(said) == PRODUCTS
    for cell in said:
        assert WORD.fullmatch(cell.rstrip("| ")), cell


def test_a_link_to_nothing_or_a_command_that_no_test_runs_would_be_seen():
    file = ROOT / "tests" / "services" / "test_commands_dead.py"
    assert runs(file, ["dead", "list"])
    assert not runs(file, ["replay", "plan"])
