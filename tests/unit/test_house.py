"""The house rules that a linter does not know: sizes, names, and nothing of a machine in the tree."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULE_LINES = 250
FUNCTION_LINES = 25
# Longer because they are one list without a decision in it: a signature with its documentation, an app's routes, a
# pipeline of the database, a dialogue. Each with what it may be.
LONGER = {
    "workers/preklic_workers/store/__init__.py:open_store": 45,
    "producers/preklic_producers/drafts.py:send": 45,
    "producers/preklic_producers/producer.py:send": 40,
    "producers/preklic_producers/commands.py:send": 35,
    "workers/preklic_workers/commands_erasure.py:review": 30,
    "workers/preklic_workers/commands_export.py:export": 30,
    "workers/preklic_workers/commands_evidence.py:export": 35,
    "workers/preklic_workers/commands_import.py:import_list": 40,
    "workers/preklic_workers/commands_merge.py:merge": 40,
    "workers/preklic_workers/commands_campaign.py:start": 30,
    "producers/preklic_producers/gateway/app.py:_builder": 30,
    "producers/preklic_producers/gateway/app.py:create_app": 30,
    "workers/preklic_workers/commands_replay.py:plan": 40,
    "workers/preklic_workers/commands_replay.py:run": 35,
    "workers/preklic_workers/store/withdrawals.py:closing": 35,
    "workers/preklic_workers/compose/links.py:link": 35,
    "workers/preklic_workers/smtp/pool.py:connect": 35,
    "shared/preklic_shared/amqp.py:open_link": 35,
    "workers/preklic_workers/store/message_states.py:takeover": 30,
    "workers/preklic_workers/commands_breakglass.py:ask": 30,
    "workers/preklic_workers/commands_disclose.py:ask": 35,
    "workers/preklic_workers/commands_hold.py:add": 35,
}
FORBIDDEN = re.compile(r"^(utils?|helpers?|common|base|manager|core|misc)$")
POSSESSIVE = re.compile(r"[)\]][*+?]\+|\}\+|\(\?>")
# Home directories, and addresses of package indexes.
MACHINE = re.compile(r"(?:^|[^A-Za-z0-9.])/(?:root|home/[a-z]+)/|https?://[a-z0-9.-]+/(?:simple|packages|debian)/")


def tracked(*folders: str) -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "--", *folders], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


def modules() -> list[Path]:
    found = [path for path in tracked("shared", "producers", "workers", "deploy") if path.suffix == ".py"]
    assert len(found) > 50
    return found


def test_modules_are_short_and_named_for_what_lives_there():
    long = [(path.name, n) for path in modules() if (n := len(path.read_text().splitlines())) > MODULE_LINES]
    assert long == []
    assert [path for path in modules() if FORBIDDEN.match(path.stem)] == []


def test_functions_are_short_or_say_why():
    functions = {}
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
                place = f"{path.relative_to(ROOT)}:{node.name}"
                functions[place] = max(functions.get(place, 0), node.end_lineno - node.lineno + 1)
    long = {place: lines for place, lines in functions.items() if lines > LONGER.get(place, FUNCTION_LINES)}
    assert long == {}
    assert [place for place in LONGER if functions.get(place, 0) <= FUNCTION_LINES] == []


def test_no_expression_asks_for_what_python_before_3_11_5_matches_wrongly():
    """Possessive repeats and atomic groups: there, links of a mail were neither counted nor their hosts looked at."""
    texts = {
        f"{path.relative_to(ROOT)}:{node.lineno}": node.value
        if isinstance(node.value, str)
        else node.value.decode("latin-1")
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes)
    }
    assert [place for place, text in texts.items() if POSSESSIVE.search(text)] == []
    assert all(map(POSSESSIVE.search, ("[a-z]++", "(?:a|b)*+", "a{2}+", "(?>ab)")))


def test_nothing_of_a_machine_is_in_the_tree():
    found = [
        (path.name, number)
        for path in tracked()
        if path.suffix not in {".png", ".svg"} and path.name != Path(__file__).name
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1)
        if MACHINE.search(line)
    ]
    assert found == []
