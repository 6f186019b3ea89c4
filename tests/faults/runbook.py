"""`deploy/runbook.md` as an operator follows it: the console commands of one heading, word for word, in their order.

A word in capitals (PLAN, LETTER) is filled in from what a command before has shown. A comment that begins with "if" is
a condition: the command is run where it holds. A command whose comment is in `hands` is run again after a person has
acted on it. What is no `preklic` command is done by who has the machines in hand (`machines`).
"""

import json
import re
import shlex
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from faults.launching import Ended, Launcher

RUNBOOK: Final = Path(__file__).resolve().parents[2] / "deploy" / "runbook.md"
WORDS: Final = frozenset({"JOB", "PLAN", "LETTER", "GATEWAY"})
DONE, FINDING = 0, 1
# Commands that look, and say by their status that they have found something.
LOOKS: Final = frozenset({"doctor", "relays"})
LISTS: Final = (
    ("account",),
    ("dead", "discard"),
    ("dead", "groups"),
    ("dead", "list"),
    ("dead", "show"),
    ("doctor",),
    ("doubt",),
    ("go",),
    ("queues",),
    ("relays",),
    ("replay", "list"),
    ("replay", "plan"),
    ("replay", "run"),
    ("replay", "show"),
    ("stop",),
    ("template", "check"),
    ("why",),
)
_FENCE: Final = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
_LINE: Final = re.compile(r"^\$ (.+?)(?:\s+# (.*))?$", re.MULTILINE)


class RunbookWrong(Exception):
    """The runbook cannot be followed: a command of it does not do what it says."""


@dataclass(frozen=True, slots=True)
class Step:
    """One command of the runbook; `note` is its comment."""

    words: tuple[str, ...]
    note: str = ""

    def __str__(self) -> str:
        return shlex.join(self.words)


@dataclass(frozen=True, slots=True)
class Done:
    """A command that was run, and what came of it. `shown` is its JSON, or its text."""

    step: Step
    code: int
    shown: Any


def steps(heading: str, text: str | None = None) -> list[Step]:
    """The commands below `## heading`. Raises RunbookWrong when there is no such heading, or none below it."""
    whole = RUNBOOK.read_text("utf-8") if text is None else text
    sections = re.findall(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", whole, re.MULTILINE | re.DOTALL)
    found = [Step(tuple(shlex.split(line)), note) for part in sections for line, note in _lines(part)]
    if not found:
        raise RunbookWrong(f"the runbook has no commands below {heading}")
    return found


def _lines(section: str) -> list[tuple[str, str]]:
    return [line for block in _FENCE.findall(section) for line in _LINE.findall(block)]


@dataclass
class Operator:
    """Follows the runbook by the command `preklic`, a process each, in the environment of an operator.

    `places` are files that are called otherwise on this machine. `done` is all that was run.
    """

    launcher: Launcher
    environment: Mapping[str, str]
    machines: Mapping[str, Callable[[], None]] = field(default_factory=dict)
    places: Mapping[str, str] = field(default_factory=dict)
    tell: Callable[[str], None] = lambda _: None
    words: dict[str, str] = field(default_factory=dict)
    done: list[Done] = field(default_factory=list)

    def follow(
        self, heading: str, *, holds: Collection[str] = (), hands: Mapping[str, Callable[[], None]] | None = None
    ) -> None:
        """Do what stands below this heading. Raises RunbookWrong at the first command that does not work."""
        by_note = hands or {}
        if strange := (set(by_note) | set(holds)) - {step.note for step in steps(heading)}:
            raise RunbookWrong(f"nothing below {heading} says: {', '.join(sorted(strange))}")
        for step in steps(heading):
            if step.note.startswith("if ") and step.note not in holds:
                continue
            if step.words[0] != "preklic":
                self._by_hand(step)
            else:
                self._do(step, by_note.get(step.note))

    def run(self, *words: str) -> Any:
        """A command of `preklic`, to its end; what it showed. Raises RunbookWrong unless it ends with 0."""
        return self._expect(Step(("preklic", *words)), DONE)

    def shown(self, *words: str) -> Any:
        """What the last command that begins so has shown. Raises LookupError."""
        found = [one.shown for one in self.done if one.step.words[1 : len(words) + 1] == words]
        if not found:
            raise LookupError(f"nobody has run {' '.join(words)}")
        return found[-1]

    def _do(self, step: Step, act: Callable[[], None] | None) -> None:
        if act is not None:
            self._expect(step, FINDING)
            act()
            self._expect(step, DONE)
        else:
            self._expect(step, DONE, *[FINDING] * (step.words[1] in LOOKS))

    def _by_hand(self, step: Step) -> None:
        if str(step) not in self.machines:
            raise RunbookWrong(f"nobody here can do: {step}")
        self.tell(f"$ {step}")
        self.machines[str(step)]()

    def _expect(self, step: Step, *codes: int) -> Any:
        filled = Step(tuple(self._filled(word) for word in step.words), step.note)
        self.tell(f"$ {filled}")
        done = self._run(filled)
        if done.code not in codes:
            raise RunbookWrong(f"{filled}: ended with {done.code}, not {codes}\n{done.shown}")
        self.done.append(done)
        self.words |= _learnt(filled.words[1:], done.shown)
        return done.shown

    def _filled(self, word: str) -> str:
        if word in WORDS and word not in self.words:
            raise RunbookWrong(f"no command before has shown a {word}")
        return self.places.get(word, self.words.get(word, word))

    def _run(self, step: Step) -> Done:
        asked = any(step.words[1 : len(name) + 1] == name for name in LISTS)
        ended = self.launcher.run([*step.words[1:], *(["--json"] if asked else [])], self.environment)
        return Done(step, ended.code, _read(ended))


def _read(ended: Ended) -> Any:
    if ended.code not in {DONE, FINDING}:
        return ended.out + ended.err
    try:
        return json.loads(ended.out)
    except ValueError:
        return ended.out + ended.err


def _learnt(words: tuple[str, ...], shown: Any) -> dict[str, str]:
    """The ids that later commands stand on."""
    first = shown[0] if isinstance(shown, list) and shown else {}
    match words[:2]:
        case ("replay", "plan"):
            return {"PLAN": shown["plan"]}
        case ("dead", "list") if first:
            return {"LETTER": first["_id"], "JOB": first["job"]}
        case ("doubt", "list") if first:
            return {"JOB": first["job"]}
        case ("gateways", "list") if first:
            return {"GATEWAY": first["name"]}
    return {}
