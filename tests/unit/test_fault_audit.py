"""The auditor must be able to fail: each way of breaking a promise is named."""

from dataclasses import replace
from pathlib import Path

import pytest

from faults.audit import (
    Body,
    Closing,
    Found,
    Gate,
    at_rest,
    audit,
    bodies_of,
    cut_short,
    evidence,
    grown,
    violations,
)
from faults.selftest import PLANTS, Plant, plant


def body(job: str, **more: object) -> dict[str, object]:
    return {"phase": "body", "job": job, **more}


def found(*, states: dict[str, str], ledger: list[dict[str, object]], published=("a",), exposed=()) -> list[str]:
    return violations(evidence(published, states, ledger, exposed))


def test_a_sent_mail_with_one_body_is_in_order() -> None:
    assert found(states={"a": "sent"}, ledger=[body("a")]) == []


def test_a_doubt_that_was_open_at_a_kill_is_in_order_with_and_without_body() -> None:
    for ledger in ([], [body("a")], [body("a", kept=False)]):
        assert found(states={"a": "in_doubt"}, ledger=ledger, exposed=["a"]) == []


@pytest.mark.parametrize(
    ("case", "named"),
    [
        ({"states": {}, "ledger": []}, "I1"),
        ({"states": {"a": "claimed"}, "ledger": []}, "I1"),
        ({"states": {"a": "sent"}, "ledger": [body("a"), body("a")]}, "I2"),
        ({"states": {"a": "sent"}, "ledger": []}, "I5"),
        ({"states": {"a": "sent"}, "ledger": [body("a", kept=False)]}, "I5"),
        ({"states": {"a": "refused"}, "ledger": [body("a")]}, "I5"),
        ({"states": {"a": "sent"}, "ledger": [body("a"), body("z")]}, "I5"),
        ({"states": {"a": "in_doubt"}, "ledger": [body("a")]}, "I10"),
        ({"states": {"a": "sent"}, "ledger": [body("a")], "published": ["a", "a"]}, "two receipts"),
    ],
)
def test_each_broken_promise_is_named(case: dict[str, object], named: str) -> None:
    assert [line for line in found(**case) if named in line]


def test_what_is_left_open_or_unacked_is_named() -> None:
    persons = [{"open": [{"message": "a"}]}, {"open": []}, {}]
    assert at_rest(persons, {"a": "in_doubt"}, {"send.now": 0}) == []
    assert len(at_rest(persons, {"a": "sent"}, {"send.now": 2})) == 2


@pytest.mark.parametrize("bug", PLANTS, ids=lambda bug: bug.name)
def test_each_planted_bug_still_fits_the_code(bug: Plant, tmp_path: Path) -> None:
    plant(bug, tmp_path)
    assert all(after in (tmp_path / file).read_text(encoding="utf-8") for file, _, after in bug.edits)


# What follows is a run in which everything kept its promises; each plant breaks one of them.
SEND = {"kind": "send", "purpose": "newsletter", "state": "sent", "history": [{"state": "claimed", "epoch": 1}]}
PAID = SEND | {"purpose": "payment"}
ONCE = Gate("a", 1, "p", "newsletter", 3, 100)
NO = Closing("w", "p", frozenset({"newsletter"}), 5, 900)
OUT = Body("a", 200, kept=True, answer=250)
GOOD = Found(
    promised={"a": "newsletter", "w": ""},
    messages={"a": SEND, "w": {"kind": "revoke", "state": "applied"}},
    bodies=[OUT],
    gates=[ONCE],
    closings=[NO],
    logged=["a", "w"],
)


def doubt(*states: tuple[str, int]) -> dict[str, object]:
    return SEND | {"state": "in_doubt", "history": [{"state": state, "epoch": epoch} for state, epoch in states]}


def test_a_good_run_has_no_violation() -> None:
    assert audit(GOOD) == []


def test_a_refused_body_may_be_followed_by_another_and_a_listed_one_may_come_late() -> None:
    assert audit(replace(GOOD, bodies=[Body("a", 150, kept=False, answer=451), OUT])) == []
    late = replace(GOOD, bodies=[replace(OUT, begun=1000)], closings=[replace(NO, listed=frozenset({("a", 1)}))])
    assert audit(late) == []


def test_what_waits_in_a_tier_is_accounted_for() -> None:
    deferred = {"a": SEND | {"state": "deferred"}, "w": GOOD.messages["w"]}
    waiting = replace(GOOD, messages=deferred, bodies=[], queued={"a"})
    assert audit(waiting) == []


def test_a_dead_mail_whose_person_was_erased_is_let_go_and_no_other_is_discarded() -> None:
    erased = SEND | {"state": "discarded", "reason": "erased"}
    died = erased | {"history": [{"state": "dead", "epoch": 1}]}
    for doc, wrong in [(died, False), (erased, True), (died | {"reason": "other"}, True)]:
        lines = audit(replace(GOOD, messages=GOOD.messages | {"a": doc}, bodies=[]))
        assert any(line.startswith("I1 a") for line in lines) == wrong


def test_a_void_is_no_job_unless_somebody_has_a_receipt_for_it() -> None:
    assert audit(replace(GOOD, logged=["a", "w", "x"], void=["x"])) == []


@pytest.mark.parametrize(
    ("plant", "named"),
    [
        ({"messages": {"w": GOOD.messages["w"]}, "bodies": []}, "I1 a"),
        ({"messages": GOOD.messages | {"a": SEND | {"state": "deferred"}}, "bodies": []}, "I1 a"),
        ({"logged": ["a", "w", "lost"]}, "I1 lost"),
        ({"promised": {"a": "newsletter", "v": ""}, "logged": ["v"], "void": ["v"]}, "I1 v"),
        ({"unheard": ["somebody"]}, "I1 a one-click of somebody"),
        ({"bodies": [OUT, OUT]}, "I2 a"),
        ({"messages": GOOD.messages | {"a": PAID}, "promised": {"a": "payment"}, "bodies": [OUT, OUT]}, "I3 a"),
        ({"messages": GOOD.messages | {"a": PAID}, "promised": {"a": "payment"}, "bodies": [OUT] * 3}, "I3 a"),
        ({"gates": [replace(ONCE, seq=6)]}, "I4 a"),
        ({"gates": []}, "I4 a"),
        ({"bodies": [replace(OUT, begun=1000)]}, "I4 a"),
        ({"bodies": []}, "I5 a"),
        ({"messages": GOOD.messages | {"a": SEND | {"state": "refused"}}}, "I5 a"),
        ({"messages": GOOD.messages | {"a": doubt(("claimed", 1), ("claimed", 2), ("refused", 1))}}, "I6 a"),
        ({"messages": GOOD.messages | {"a": doubt(("claimed", 2), ("claimed", 2))}}, "I6 a"),
        ({"messages": GOOD.messages | {"a": SEND | {"state": "dead"}}}, "I8 a"),
        ({"buried": {"b": ""}}, "I8 b"),
        ({"messages": GOOD.messages | {"a": SEND | {"state": "claimed"}}}, "I9 a"),
        ({"persons": [{"open": [{"message": "a", "epoch": 1}]}]}, "I9 a"),
        ({"persons": [{"stale": [{"message": "a", "epoch": 1}]}]}, "I9 a"),
        ({"unacked": {"send.bulk": 3}}, "I9 3 unacked"),
        ({"messages": GOOD.messages | {"a": doubt(("claimed", 1), ("in_doubt", 1))}}, "I10 a"),
    ],
)
def test_each_invariant_that_is_broken_is_named_with_its_job(plant: dict[str, object], named: str) -> None:
    assert [line for line in audit(replace(GOOD, **plant)) if line.startswith(named)]


def test_a_replay_that_sends_again_is_named() -> None:
    assert grown([OUT], [OUT]) == []
    assert grown([OUT], [OUT, OUT])[0].startswith("I7 a")


def test_the_ledger_tells_when_a_body_began_and_how_it_was_answered() -> None:
    ledger = [
        {"phase": "data", "conn": 1, "at": 10, "to": "x"},
        {"phase": "data", "conn": 2, "at": 11, "to": "y"},
        {"phase": "body", "conn": 1, "at": 12, "job": "a"},
        {"phase": "lost", "conn": 2, "at": 13, "to": "y"},
        {"phase": "accepted", "conn": 1, "at": 14, "job": "a", "code": 250},
        {"phase": "data", "conn": 1, "at": 20, "to": "x"},
        {"phase": "body", "conn": 1, "at": 21, "job": "b", "kept": False},
        {"phase": "lost", "conn": 1, "at": 22, "to": "x"},
    ]
    assert bodies_of(ledger) == [Body("a", 10, kept=True, answer=250), Body("b", 20, kept=False, answer=0)]
    assert cut_short(ledger) == {"y"}
