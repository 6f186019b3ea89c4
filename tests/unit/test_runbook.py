"""How the game days follow the runbook: word for word, and not past a command that does not work."""

import json
import shlex

import pytest

from faults import runbook
from faults.launching import Ended
from faults.runbook import Operator, RunbookWrong, Step, steps

TEXT = """# Runbook

```console
$ preklic doctor
```

## First

Prose with `$ preklic nothing`.

```console
$ preklic replay plan --dead --where "age<2h"   # look at it
$ preklic replay run PLAN --reason "a plan, case 17"
$ preklic replay stop PLAN                      # if it goes wrong
$ systemctl restart preklic-worker@send         # on each host
```

## Second

```console
$ preklic template check                        # mend what it names
$ preklic replay run PLAN --reason "case 17"
```
"""


class Scripted:
    """Answers commands by their first words; `ran` are the whole ones."""

    def __init__(self, **answers):
        self.answers = answers
        self.ran = []

    def run(self, argv, _environment):
        self.ran.append(shlex.join(argv))
        given = self.answers.get(argv[0], [(0, {})])
        code, shown = given.pop(0) if len(given) > 1 else given[0]
        return Ended(code, json.dumps(shown), "complaint")


@pytest.fixture(autouse=True)
def text(monkeypatch, tmp_path):
    file = tmp_path / "runbook.md"
    file.write_text(TEXT)
    monkeypatch.setattr(runbook, "RUNBOOK", file)


def test_commands_are_those_in_the_fences_of_one_heading():
    assert steps("Second") == [
        Step(("preklic", "template", "check"), "mend what it names"),
        Step(("preklic", "replay", "run", "PLAN", "--reason", "case 17")),
    ]
    with pytest.raises(RunbookWrong, match="no commands below Third"):
        steps("Third")


def test_a_plan_that_was_shown_is_run_and_what_is_conditional_waits_for_its_condition():
    launcher, restarted = Scripted(replay=[(0, {"plan": "3f2a"})]), []
    machines = {"systemctl restart preklic-worker@send": lambda: restarted.append(1)}
    operator = Operator(launcher, {}, machines)
    operator.follow("First")
    assert launcher.ran == [
        "replay plan --dead --where 'age<2h' --json",
        "replay run 3f2a --reason 'a plan, case 17' --json",
    ]
    assert restarted == [1]
    operator.follow("First", holds=["if it goes wrong"])
    assert launcher.ran[-1] == "replay stop 3f2a"
    assert operator.shown("replay", "plan") == {"plan": "3f2a"}


@pytest.mark.parametrize("code", [1, 2, 3, 4])
def test_a_command_that_does_not_work_ends_it(code):
    launcher = Scripted(replay=[(code, {"plan": "3f2a"})])
    with pytest.raises(RunbookWrong, match=f"ended with {code}"):
        Operator(launcher, {}).follow("First")
    assert len(launcher.ran) == 1


def test_a_plan_that_nobody_made_is_not_run():
    launcher = Scripted(template=[(1, []), (0, [])])
    with pytest.raises(RunbookWrong, match="no command before has shown a PLAN"):
        Operator(launcher, {}).follow("Second", hands={"mend what it names": lambda: None})
    assert launcher.ran == ["template check --json"] * 2


@pytest.mark.parametrize("answers", [[(0, [])], [(1, [])]], ids=["nothing to mend", "not mended"])
def test_a_command_that_a_person_acts_on_must_find_something_and_then_nothing(answers):
    with pytest.raises(RunbookWrong, match="template check"):
        Operator(Scripted(template=answers), {}).follow("Second", hands={"mend what it names": lambda: None})


def test_what_the_runbook_does_not_say_is_not_done():
    with pytest.raises(RunbookWrong, match="says: mend the disk"):
        Operator(Scripted(), {}).follow("Second", hands={"mend the disk": lambda: None})
    with pytest.raises(RunbookWrong, match="nobody here can do: systemctl restart"):
        Operator(Scripted(replay=[(0, {"plan": "3f2a"})]), {}).follow("First")
