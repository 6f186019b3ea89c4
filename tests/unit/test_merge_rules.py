"""Two persons who are one: whatever both documents say, what is left is never more than either of them allowed."""

import copy
import datetime as dt
import doctest

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from deciding import NOTICES, REGISTRY
from preklic_shared.registry import SWITCHES
from preklic_workers.permission import STRICTEST, may, may_track, strictest
from preklic_workers.store import import_docs, merge_docs
from preklic_workers.store.grants import last_no
from preklic_workers.store.import_docs import ListGrant, judge
from preklic_workers.store.merge_docs import Merge, is_done, leaving, merged, refusal, uniting
from preklic_workers.store.person_docs import fresh, person_of, place

NOW = dt.datetime(2026, 11, 27, 12, tzinfo=dt.UTC)
FROM, INTO = "f" * 43, "i" * 43
MERGE = Merge("00000000-0000-5000-8000-000000000000", FROM, INTO, NOW)
# LUCRUM's registry, and a purpose by interest beside it.
HOUSE = copy.copy(REGISTRY)
HOUSE.purposes = {**REGISTRY.purposes, "notices": NOTICES}
HOUSE.__dict__.pop("revocable", None)
MAILS = [purpose for purpose in HOUSE.purposes.values() if purpose.mail]
KEYS = sorted({*(purpose.key for purpose in MAILS), *SWITCHES})
CHOICE = [purpose for purpose in MAILS if purpose.needs_known_person]

moments = st.integers(0, 1000).map(lambda days: NOW - dt.timedelta(days=days))
entries = st.builds(
    lambda state, at, withdrawn: {"state": state, "at": at, "job": "j", "seq": 1} | withdrawn,
    st.sampled_from(STRICTEST),
    moments,
    st.one_of(st.just({}), moments.map(lambda at: {"withdrawn": at})),
)


def doc_of(name, permissions, suppressed, more):
    return fresh(name, b"p" * 16) | {"permissions": permissions, "suppressed": suppressed} | more


def docs(name, refs):
    return st.builds(
        doc_of,
        st.just(name),
        st.dictionaries(st.sampled_from([place(key) for key in KEYS]), entries),
        st.dictionaries(st.sampled_from(["bounce", "complaint", "erased"]), moments, max_size=1),
        st.one_of(
            st.just({}), moments.map(lambda at: {"no_at": at}), st.sampled_from(refs).map(lambda r: {"ref_hash": r})
        ),
    )


sources, targets = docs(FROM, ["a" * 43]), docs(INTO, ["b" * 43, ["b" * 43, "c" * 43]])


def applied(doc, update):
    gone = update.get("$unset", {})
    return {name: value for name, value in {**doc, **update["$set"]}.items() if name not in gone}


def allowed(doc):
    who = person_of(doc)
    mails = {(one.key, how) for one in MAILS for how in (False, True) if may(who, one, confirming=how) is None}
    return mails | {(switch, False) for switch in SWITCHES if may_track(who, switch)}


@pytest.mark.clause("U2", guard="preklic_workers.store.merge_docs:stricter")
@settings(phases=(Phase.explicit, Phase.generate))  # a failure is told at once
@given(targets, sources)
def test_a_merge_never_allows_more_than_either(target, source):
    after = applied(target, uniting(target, source, HOUSE, MERGE))
    assert allowed(after) <= allowed(target) & allowed(source)
    for key in KEYS:
        said = [doc["permissions"][place(key)]["state"] for doc in (target, source) if place(key) in doc["permissions"]]
        if len(said) == 2:
            assert after["permissions"][place(key)]["state"] == strictest(said)
        noes = [no for doc in (target, source) if (no := last_no(doc, key)) is not None]
        assert not noes or last_no(after, key) >= max(noes)
    assert set(after["suppressed"]) == {*target["suppressed"], *source["suppressed"]}


@given(targets, sources)
def test_what_both_allow_is_left(target, source):
    after = applied(target, uniting(target, source, HOUSE, MERGE))
    assert allowed(after) >= allowed(target) & allowed(source)
    assert ("payment", False) in allowed(after)


@given(targets, sources)
def test_the_source_stays_as_a_no(target, source):
    left = applied(source, leaving(source, HOUSE, MERGE))
    assert all(may(person_of(left), one, confirming=how) is not None for one in CHOICE for how in (False, True))
    assert not any(may_track(person_of(left), switch) for switch in SWITCHES)
    assert {key for key, said in left["permissions"].items() if said["state"] == "objected"} >= {
        key for key, said in source["permissions"].items() if said["state"] == "objected"
    }
    assert (left["merged"], "ref_hash" in left, left["suppressed"]) == (INTO, False, source["suppressed"])
    assert is_done(MERGE, {FROM: left})


@given(targets, sources)
def test_merged_again_nothing_more_ends(target, source):
    after = applied(target, uniting(target, source, HOUSE, MERGE))
    update = uniting(after, source, HOUSE, MERGE)
    assert allowed(applied(after, update)) == allowed(after)
    assert merged(after, update).ended == []
    refs = [doc.get("ref_hash", []) for doc in (target, source, after)]
    names = [{one} if isinstance(one, str) else set(one) for one in refs]
    assert names[2] == names[0] | names[1]


def test_who_cannot_be_merged():
    source, target = fresh(FROM, b""), fresh(INTO, b"")
    assert refusal(MERGE, {FROM: source, INTO: target}) is None
    assert refusal(MERGE, {FROM: source | {"merged": INTO}, INTO: target}) is None
    assert refusal(MERGE, {INTO: target}) == refusal(MERGE, {FROM: source}) == "unknown"
    for gone in ({FROM: source | {"erased": True}, INTO: target}, {FROM: source, INTO: target | {"erased": True}}):
        assert refusal(MERGE, gone) == "erased"
    for elsewhere in ({FROM: source | {"merged": "x"}, INTO: target}, {FROM: source, INTO: target | {"merged": FROM}}):
        assert refusal(MERGE, elsewhere) == "merged_elsewhere"


asked = st.sampled_from([None, "granted", "pending"])


@pytest.mark.clause("U7", guard="preklic_workers.store.import_docs:closed")
@settings(phases=(Phase.explicit, Phase.generate))  # a failure is told at once
@given(targets, st.booleans(), st.sampled_from(MAILS), asked)
def test_an_import_never_allows_more_than_what_is_recorded_or_what_it_says(doc, erased, purpose, state):
    doc = doc | {"erased": erased}
    grant = ListGrant("another", INTO, None, NOW, b"", None, state)
    answer = judge(doc, grant, purpose.key, purpose)
    before = doc["permissions"].get(place(purpose.key))
    if answer == "kept":
        return
    assert not erased
    assert "erased" not in doc["suppressed"]
    assert answer == "pending" or state != "pending"
    if before is not None:
        assert STRICTEST.index(answer) < STRICTEST.index(before["state"])
    if purpose in CHOICE:
        assert not doc["suppressed"]
        assert last_no(doc, purpose.key) is None


def test_the_examples_hold():
    assert doctest.testmod(merge_docs).failed == doctest.testmod(import_docs).failed == 0
