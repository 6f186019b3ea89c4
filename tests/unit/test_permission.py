import datetime as dt
import doctest

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preklic_shared.registry import load_registry
from preklic_workers import permission
from preklic_workers.permission import Permission, Person

LUCRUM = load_registry()
NEWS = LUCRUM.purposes["newsletter"]
PAYMENT = LUCRUM.purposes["payment"]
NOW = dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC)
GUARD = "preklic_workers.permission:"

states = st.sampled_from(["granted", "pending", "withdrawn", "objected"])
purposes = st.sampled_from(list(LUCRUM.purposes.values()))
people = st.builds(
    Person,
    id=st.just("p"),
    permissions=st.dictionaries(
        st.sampled_from(sorted(LUCRUM.purposes)),
        states.map(lambda state: Permission(state, NOW, "j", 1)),
    ),
    suppressed=st.dictionaries(st.sampled_from(["bounce", "complaint", "erased"]), st.just(NOW)),
    erased=st.booleans(),
)


def person(suppressed=(), *, erased=False, **said):
    permissions = {key.replace("__", "."): Permission(state, NOW, "j", 1) for key, state in said.items()}
    return Person("p", permissions=permissions, suppressed=dict.fromkeys(suppressed, NOW), erased=erased)


@pytest.mark.attack(14, guard=GUARD + "may")
@pytest.mark.parametrize(
    ("who", "reason"),
    [
        (None, "unknown"),
        (person(), "no_permission"),
        (person(newsletter="pending"), "pending"),
        (person(newsletter="withdrawn"), "withdrawn"),
        (person(newsletter="objected"), "objected"),
        (person(offers="granted"), "no_permission"),
        (person(newsletter="granted", erased=True), "erased"),
        (person(["erased"], newsletter="granted"), "suppressed_erased"),
        (person(["complaint"], newsletter="granted"), "suppressed_complaint"),
        (person(["bounce"], newsletter="granted"), "suppressed_bounce"),
    ],
)
def test_each_no_has_its_reason(who, reason):
    assert permission.may(who, NEWS) == reason


def test_a_permission_that_is_held_lets_the_mail_go():
    assert permission.may(person(newsletter="granted"), NEWS) is None


@pytest.mark.clause("U2", guard=GUARD + "may")
def test_only_the_confirmation_goes_out_while_a_permission_is_pending():
    assert permission.may(person(newsletter="pending"), NEWS, confirming=True) is None
    assert permission.may(person(newsletter="pending"), NEWS) == "pending"
    assert permission.may(person(newsletter="withdrawn"), NEWS, confirming=True) == "withdrawn"
    assert permission.may(person(), NEWS, confirming=True) == "no_permission"


@pytest.mark.clause("U5", guard=GUARD + "rests_on_choice")
@given(people, st.sampled_from(["one_click", "preference", "api", "complaint", "bounce", "operator"]))
def test_the_payment_mail_outlives_every_no_but_erasure(who, source):
    stopped = permission.stopped_by(source, "all", LUCRUM)
    said = {**who.permissions, **{key: Permission("withdrawn", NOW, "j", 2) for key in stopped}}
    after = Person("p", permissions=said, suppressed=who.suppressed)
    assert "payment" not in stopped
    assert "payment" not in permission.stopped_by(source, ["payment"], LUCRUM)
    assert permission.may(after, PAYMENT) is None
    assert permission.may(None, PAYMENT) is None
    assert permission.may(person(erased=True), PAYMENT) == "erased"


@given(people, purposes, st.booleans())
def test_mail_by_consent_goes_only_on_a_yes_that_nothing_ended(who, purpose, confirming):
    if permission.may(who, purpose, confirming=confirming) is not None:
        return
    assert purpose.mail
    assert not who.erased
    if purpose.basis == "consent":
        assert not who.suppressed
        allowed = {"granted", "pending"} if confirming else {"granted"}
        assert who.permissions[purpose.key].state in allowed


@pytest.mark.clause("U16", guard=GUARD + "may")
@given(people, purposes)
def test_a_use_that_is_no_mail_sends_none(who, purpose):
    if not purpose.mail:
        assert permission.may(who, purpose) == "purpose_denied"


@pytest.mark.clause("U17", guard=GUARD + "may")
def test_an_objection_stops_an_interest_at_once(interest_mail):
    assert permission.may(person(), interest_mail) is None
    assert permission.may(person(**{interest_mail.key: "objected"}), interest_mail) == "objected"
    assert permission.may(person(["complaint"]), interest_mail) == "suppressed_complaint"
    assert permission.may(None, interest_mail) == "unknown"


@pytest.fixture
def interest_mail():
    return msgspec.structs.replace(LUCRUM.purposes["offers"], key="survey", clause="U17", basis="interest")


def test_silence_of_an_existing_customer_is_no_permission():
    customers = msgspec.structs.replace(LUCRUM.purposes["offers"], basis="existing_customer")
    assert permission.may(person(), customers) == "no_permission"
    assert permission.may(None, customers) == "unknown"
    assert permission.may(person(offers="granted"), customers) is None
    assert permission.may(person(["complaint"], offers="granted"), customers) == "suppressed_complaint"
    assert permission.may(person(offers="withdrawn"), customers) == "withdrawn"


def test_the_scope_of_each_no():
    assert permission.stopped_by("one_click", ["newsletter"], LUCRUM) == {"newsletter"}
    assert permission.stopped_by("api", "all", LUCRUM) == LUCRUM.revocable
    assert permission.stopped_by("complaint", ["newsletter"], LUCRUM) == LUCRUM.marketing
    assert permission.stopped_by("bounce", "all", LUCRUM) == frozenset()
    assert permission.stopped_by("api", ["payment", "unregistered"], LUCRUM) == frozenset()
    assert permission.stopped_by("one_click", ["proposals"], LUCRUM) == {"proposals"}
    assert permission.stopped_by("preference", ["proposals.profiling"], LUCRUM) == {"proposals.profiling"}
    assert permission.stopped_by("preference", ["engagement"], LUCRUM) == {
        "engagement",
        "engagement.opens",
        "engagement.clicks",
    }


def test_what_each_no_leaves_behind():
    assert permission.suppression_by("complaint", erase=False) == "complaint"
    assert permission.suppression_by("bounce", erase=False) == "bounce"
    assert permission.suppression_by("one_click", erase=False) is None
    assert permission.suppression_by("api", erase=True) == "erased"


@pytest.mark.attack(16, guard=GUARD + "grant_counts")
@pytest.mark.parametrize(
    ("after_withdrawal", "token"),
    [
        (dt.timedelta(days=-1), None),
        (dt.timedelta(0), None),
        (dt.timedelta(minutes=4), None),
        (dt.timedelta(minutes=5), None),
        (dt.timedelta(days=30), dt.timedelta(0)),
        (dt.timedelta(days=30), dt.timedelta(days=-1)),
    ],
)
def test_a_grant_that_is_not_clearly_later_brings_nobody_back(after_withdrawal, token):
    token_at = None if token is None else NOW + token
    assert not permission.grant_counts(NOW + after_withdrawal, NOW, token_at)


def test_a_grant_clearly_after_the_withdrawal_or_with_a_token_made_after_it_stands():
    assert permission.grant_counts(NOW + dt.timedelta(minutes=5, milliseconds=1), NOW)
    assert permission.grant_counts(NOW + dt.timedelta(seconds=1), NOW, NOW + dt.timedelta(milliseconds=1))


def test_a_first_grant_stands():
    assert permission.grant_counts(NOW, None)


@given(st.integers(-(10**6), 10**6))
def test_a_later_withdrawal_never_revives_a_grant(seconds):
    withdrawn = NOW
    grant = withdrawn + dt.timedelta(seconds=seconds)
    if not permission.grant_counts(grant, withdrawn):
        assert not permission.grant_counts(grant, withdrawn + dt.timedelta(seconds=1))


@pytest.mark.clause("U12", guard=GUARD + "may_track")
def test_opens_and_clicks_are_asked_for_apart():
    who = person(engagement__clicks="granted", engagement="granted", newsletter="granted")
    assert permission.may_track(who, "engagement.clicks")
    assert not permission.may_track(who, "engagement.opens")
    assert not permission.may_track(None, "engagement.clicks")
    assert not permission.may_track(person(["complaint"], engagement__clicks="granted"), "engagement.clicks")
    assert not permission.may_track(person(engagement__clicks="granted", erased=True), "engagement.clicks")


def test_an_import_takes_the_strictest_answer():
    assert permission.strictest(["granted", "objected", "pending"]) == "objected"
    assert doctest.testmod(permission).failed == 0
