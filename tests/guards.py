"""A pytest plugin: lists what the marked tests stand for, and runs them with their guard switched off.

`--list-marks attack` prints the attack list (tests/attacks.md) with the tests of each row; `--list-marks clause` the
clauses of the policy. `--guards-off attack|clause` replaces each test's guard by something permissive and then demands
that the test fails. Production code has no switch for this: the guard is patched from outside. While such a test runs
`GUARDS_OFF` names the guards, and `tests/unguarded.py` is the command `preklic` without them, for processes of its own.
No wait is longer than five seconds then; that the tests pass so with their guards on is seen with `--longest-wait 5`.
"""

import inspect
import os
import re
import ssl
import sys
from importlib import import_module
from pathlib import Path

import pytest
from jinja2 import Environment
from pymongo import UpdateOne

import waiting
from preklic_shared.addresses import Address
from preklic_shared.jobs import Proof
from preklic_shared.registry import load_registry
from preklic_workers.sifting import Term


def pytest_addoption(parser):
    parser.addoption("--list-marks", choices=("attack", "clause"))
    parser.addoption("--guards-off", choices=("attack", "clause"))
    parser.addoption("--longest-wait", type=float, help="seconds of any wait; 5 where guards are off")


def pytest_configure(config):
    off = config.getoption("--guards-off")
    waiting.longest = config.getoption("--longest-wait") or (5 if off else waiting.longest)


def pytest_collection_modifyitems(config, items):
    kind = config.getoption("--guards-off")
    if kind:
        chosen = [item for item in items if any("guard" in mark.kwargs for mark in item.iter_markers(kind))]
        config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
        items[:] = chosen


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish(session):
    kind = session.config.getoption("--list-marks")
    if kind:
        sys.stdout.write("\n".join(_table(kind, session.items)) + "\n")
        session.items.clear()


def _table(kind, items):
    rows = {}
    for item in items:
        for mark in item.iter_markers(kind):
            for number in mark.args:
                rows.setdefault(str(number), set()).add(item.nodeid.partition("[")[0])
    names = _attacks() if kind == "attack" else clauses()
    for number, text in names.items():
        yield f"{number:>3}  {text}"
        yield from (f"       {test}" for test in sorted(rows.get(number, ())))
    strange = sorted(set(rows) - set(names))
    yield f"\n{len(set(rows) & set(names))} of {len(names)} rows have a test" + (
        f"; unknown: {strange}" if strange else ""
    )


def _attacks():
    text = (Path(__file__).parent / "attacks.md").read_text(encoding="utf-8")
    return {number: row.strip() for number, row in re.findall(r"^(\d+)\. (.*)$", text, re.MULTILINE)}


def clauses():
    """The clauses of the policy by id, each in a few words."""
    registry = load_registry()
    promises = {one.clause: _cut(one.text.en) for one in registry.promises}
    purposes: dict[str, str] = {}
    for one in registry.purposes.values():
        purposes.setdefault(one.clause, f"{one.key}: {_cut(one.text.en)}")
    return promises | purposes


def _cut(text, longest=100):
    return text if len(text) <= longest else text[: longest - 1].rpartition(" ")[0] + " ..."


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item):
    kind = item.config.getoption("--guards-off")
    if not kind:
        yield
        return
    guards = {mark.kwargs["guard"] for mark in item.iter_markers(kind) if "guard" in mark.kwargs}
    with pytest.MonkeyPatch.context() as patch:
        for guard in guards:
            switch_off(guard, patch)
        patch.setenv("GUARDS_OFF", ",".join(sorted(guards)))
        outcome = yield
    error = outcome.excinfo and outcome.excinfo[1]
    if isinstance(error, pytest.skip.Exception):
        return
    if error is None:
        outcome.force_exception(AssertionError(f"passes although {', '.join(sorted(guards))} is off"))
    else:
        outcome.force_result(None)


def switch_off(guard, patch):
    """Replace `guard` ("package.module:name" or ":Class.name") wherever it was imported to."""
    module_name, _, path = guard.partition(":")
    owner = import_module(module_name)
    *classes, name = path.split(".")
    for part in classes:
        owner = getattr(owner, part)
    original = inspect.getattr_static(owner, name)
    replacement = PERMISSIVE.get(guard) or permissive(original)
    patch.setattr(owner, name, replacement)
    if not classes and callable(original):
        for module in [m for n, m in sys.modules.items() if n.startswith("preklic_")]:
            if module.__dict__.get(name) is original:
                patch.setattr(module, name, replacement)


def permissive(original):
    """What stands in for a guard: nothing to object where it returns None or a reason, yes where it returns a bool,
    the first argument as it came where it returns a value; for a table or a limit, one that holds everything back no
    longer."""
    if isinstance(original, (staticmethod, classmethod)):
        return type(original)(permissive(original.__func__))
    if not callable(original):
        return permissive_value(original)
    returns = str(inspect.signature(original).return_annotation)
    answer = _answer(returns)

    def off(*args, **kwargs):
        return answer(args, kwargs)

    async def off_later(*args, **kwargs):
        return answer(args, kwargs)

    return off_later if inspect.iscoroutinefunction(original) else off


def _answer(returns):
    if "None" in returns:
        return lambda _args, _kwargs: None
    if "bool" in returns:
        return lambda _args, _kwargs: True
    return lambda args, kwargs: next(iter([*args, *kwargs.values()]), None)


def permissive_value(value):
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return type(value)(10**12)
    if isinstance(value, re.Pattern):
        return re.compile(r"(?!)")
    return type(value)()


class Clear:
    """A cipher that hides nothing and believes everything."""

    def __init__(self, _key):
        pass

    @staticmethod
    def generate_key(_bits):
        return os.urandom(32)

    def encrypt(self, _nonce, plain, _bound):
        return plain

    def decrypt(self, _nonce, text, _bound):
        return text


async def _nobody(_self, _subjects):
    return []


async def _nobody_erased(_self, _subjects):
    return {}


async def _nothing_told(_self, _sent, _moment):
    return {}


# Guards whose permissive form is neither of these.
PERMISSIVE = {
    # Nobody was merged into anybody, and nobody was erased meanwhile.
    "preklic_workers.store.merges:Merges.into": _nobody,
    "preklic_workers.store.erasures:Erasures.among": _nobody_erased,
    # A mail leaves without a word for the ledger; a sequencer begins where the one before it may have died.
    "preklic_workers.store.settlements:Settlements._intend": _nothing_told,
    "preklic_workers.store.entries:Entries.left_of": _nobody,
    "preklic_producers.feedback.judging:automatic": lambda _mail: False,
    "preklic_workers.smtp.pool:verifying": lambda _context: ssl._create_unverified_context(),
    "preklic_shared.topology:keys_of": lambda _role: ".*",
    # The store: a gate that asks for nothing, a claim that asks nobody, a ciphertext that belongs nowhere.
    "preklic_workers.store.person_docs:permitted": lambda _purpose, **_: {},
    "preklic_workers.store.person_docs:unobjected": lambda _purpose: {},
    "preklic_workers.compose.refusals:_profile_fields": lambda _tree: set(),
    "preklic_workers.store.message_states:takeover": lambda message, _fixed, by: UpdateOne(
        {"_id": message}, [{"$set": {"state": "claimed", "epoch": {"$add": ["$epoch", 1]}, "by": by}}]
    ),
    "preklic_workers.envelope:bound_to": lambda *_place: b"",
    # Holds that cover nothing and keep all for ever, and that claim what is gone.
    "preklic_workers.store.holding:held_groups": lambda _doc: frozenset(),
    "preklic_workers.store.holding:owed_groups": lambda _doc: frozenset(),
    "preklic_workers.store.holding:lacking": lambda *_: [],
    # Nothing is encrypted, neither on its way nor at rest.
    "preklic_shared.sealing:AESGCM": Clear,
    # Any mail may name any purpose, and what is not registered counts as another.
    "preklic_shared.registry:Registry.for_mail": lambda registry, key, _template: (
        registry.get(key) or registry.get("newsletter")
    ),
    # A list that nothing speaks against, a write that asks nobody, a merge in which any yes wins.
    "preklic_workers.import_file:proof_of": lambda _, now: (Proof(wording="w", source="s", method="import"), now),
    "preklic_workers.import_file:parse": lambda text: Address(text, text, "x.example", text, smtputf8=False),
    "preklic_workers.store.import_docs:closed": lambda *_: False,
    "preklic_workers.store.import_docs:unchanged": lambda doc: {"_id": doc["_id"]},
    "preklic_workers.store.merge_docs:stricter": lambda one, other, _: max(
        (one, other), key=["objected", "withdrawn", None, "pending", "granted"].index
    ),
    # A filter whose values are the database's own conditions.
    "preklic_workers.sifting:_term": lambda _, text: Term("purpose", text, lambda _now: {"$expr": text}),
    # A yes of these is the caution itself.
    "preklic_workers.compose.mime:needs_words": lambda _value: False,
    "preklic_workers.compose.templates:escapes": lambda _name: False,
    "preklic_workers.exporting:escaped": lambda _name: False,
    # Whatever stands in a record is told as it is.
    "preklic_workers.webhooks.events:_word": lambda value: value,
    "preklic_workers.compose.templates:Sandbox": Environment,
}
