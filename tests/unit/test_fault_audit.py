"""The auditor must be able to fail: each way of breaking a promise is named."""

from pathlib import Path

import pytest

from faults.audit import at_rest, evidence, violations
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
