"""The whole decision table, held against the policy's own sentences (tests/deciding.py)."""

import datetime as dt
from collections import Counter
from dataclasses import replace

import pytest

from deciding import CHOICE, CONSENT, GOOD, NO_MAIL, ORDERED, REGISTRY, SAID, Case, Someone, answer, cases, purpose_of
from preklic_workers import permission
from preklic_workers.permission import Facts, Permission, Person, decide, may_track

NOW = dt.datetime(2026, 11, 27, tzinfo=dt.UTC)
GUARD = "preklic_workers.permission:"
ALL = sorted(CHOICE | ORDERED)


def person_of(someone: Someone | None, use: str) -> Person | None:
    if someone is None:
        return None
    said = dict.fromkeys([*ALL, "engagement.opens"], someone.of_others) | {use: someone.said}
    permissions = {key: Permission(state, NOW, "job", 1) for key, state in said.items() if state is not None}
    return Person(
        "p", permissions=permissions, suppressed=dict.fromkeys(someone.suppressed, NOW), erased=someone.erased
    )


def decided(case: Case) -> str | None:
    who = person_of(case.someone, case.use)
    return decide(Facts(purpose_of(case.use), who, case.carried, case.expired, case.confirming))


@pytest.mark.attack(13, guard=GUARD + "may_begin")
@pytest.mark.attack(14, guard=GUARD + "may")
@pytest.mark.clause("U1", guard=GUARD + "may")
@pytest.mark.clause("U8", guard=GUARD + "may_begin")
@pytest.mark.clause("U16", guard=GUARD + "may_begin")
def test_every_combination_has_the_answer_of_the_policy():
    seen = Counter()
    for case in cases():
        expected = answer(case)
        assert decided(case) == expected, case
        seen[expected] += 1
    assert seen.total() == 11 * 401 * 8
    assert set(seen) == {
        None, "expired", "purpose_denied", "processor_invalid", "unknown", "erased", "suppressed_erased",
        "suppressed_complaint", "suppressed_bounce", "objected", "withdrawn", "no_permission", "pending",
    }  # fmt: skip


@pytest.mark.clause("U2", guard=GUARD + "may")
def test_what_is_true_of_every_mail_that_may_go():
    for case in cases():
        if decided(case) is not None:
            continue
        assert case.carried
        assert not case.expired
        assert case.use not in NO_MAIL
        if case.use in CHOICE:
            assert case.someone is not None
            assert not case.someone.suppressed
            assert case.someone.said not in {"withdrawn", "objected"}
        if case.use in CONSENT:
            assert case.someone.said == "granted" or (case.someone.said == "pending" and case.confirming)


def test_no_word_more_of_a_no_lets_a_mail_go():
    order = {state: place for place, state in enumerate(("objected", "withdrawn", None, "pending", "granted"))}
    for case in cases(jobs=GOOD):
        if case.someone is None or decided(case) is None:
            continue
        stricter = [replace(case.someone, erased=True)]
        stricter += [replace(case.someone, suppressed=("bounce", "complaint", "erased"))]
        if case.use in CONSENT:
            stricter += [replace(case.someone, said=said) for said in SAID if order[said] < order[case.someone.said]]
        assert all(decided(replace(case, someone=one)) is not None for one in stricter), case


def test_what_is_said_of_another_purpose_changes_nothing():
    for case in cases(jobs=GOOD):
        if case.someone is not None and case.someone.of_others is not None:
            assert decided(case) == decided(replace(case, someone=replace(case.someone, of_others=None)))


SCOPES = {"one_click", "preference", "api"}
# What each no leaves of a person who permitted everything (LUCRUM's own purposes), said in the policy's words.
MARKETING = {"offers", "newsletter", "proposals", "partner_offers"}
LEAVES = {
    ("one_click", ("newsletter",), False): {"offers", "proposals", "partner_offers", "payment", "engagement.clicks"},
    ("preference", ("engagement",), False): {*MARKETING, "payment"},
    ("api", "all", False): {"payment"},
    ("complaint", ("newsletter",), False): {"payment"},
    ("bounce", "all", False): {"payment"},
    ("operator", "all", True): {"payment"},
}


# A complaint, a bounce and an erasure suppress, whatever they stop beside.
SCOPED = [pytest.mark.clause("U1", guard=GUARD + "stopped_by"), pytest.mark.clause("U2", guard=GUARD + "stopped_by")]


@pytest.mark.parametrize("no", [pytest.param(no, marks=SCOPED if no[0] in SCOPES else []) for no in LEAVES])
def test_each_no_stops_what_it_is_about_and_leaves_the_rest(no):
    source, purposes, erase = no
    permitted = [*MARKETING, "payment", "engagement.clicks"]
    ended = REGISTRY.revocable if erase else permission.stopped_by(source, purposes, REGISTRY)
    states = {key: "withdrawn" if key in ended else "granted" for key in permitted}
    kind = permission.suppression_by(source, erase=erase)
    who = Person(
        "p",
        permissions={key: Permission(state, NOW, "j", 1) for key, state in states.items()},
        suppressed={kind: NOW} if kind else {},
    )
    mails = [key for key in permitted if "." not in key]
    left = {key for key in mails if decide(Facts(purpose_of(key), who)) is None}
    left |= {"engagement.clicks"} if may_track(who, "engagement.clicks") else set()
    assert left == LEAVES[no]
