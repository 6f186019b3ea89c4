"""Which relay carries a mail, the breaker of each, and what the settings may say of them. No service is needed."""

import datetime as dt
from collections import Counter
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preklic_shared.settings import SettingsError, load_settings
from preklic_workers.smtp.breaker import FIRST_PAUSE, LONGEST_PAUSE, OPENS_AT, Breaker, State
from preklic_workers.smtp.choice import NO_RELAY, OPEN, choose, elsewhere
from preklic_workers.smtp.meter import RATE, WARM_UP, Meter, meter_of
from preklic_workers.smtp.routes import Route
from sending import PROCESSOR

MAILS = [f"mail-{n}" for n in range(3000)]


def relay(name, **more):
    return Route(name, PROCESSOR, None, **more)


def shares(routes, purpose="newsletter", now=0.0):
    found = Counter()
    for mail in MAILS:
        route = choose(routes, purpose, "other", mail, now)
        found[route if isinstance(route, str) else route.name] += 1
    return found


def test_each_relay_has_the_share_of_its_weight_and_a_mail_keeps_its_relay():
    routes = [relay("a", weight=1), relay("b", weight=2), relay("c", weight=3)]
    found = shares(routes)
    for name, share in (("a", 1 / 6), ("b", 2 / 6), ("c", 3 / 6)):
        assert abs(found[name] / len(MAILS) - share) < 0.03
    assert shares(routes[::-1]) == found


def test_a_relay_that_is_taken_away_moves_its_own_mails_only():
    routes = [relay(name) for name in "abc"]
    before = {mail: choose(routes, "newsletter", "other", mail, 0).name for mail in MAILS}
    after = {mail: choose(routes[:2], "newsletter", "other", mail, 0).name for mail in MAILS}
    assert all(after[mail] == before[mail] for mail in MAILS if before[mail] != "c")


def test_a_relay_carries_its_purposes_alone():
    routes = [relay("a", purposes=frozenset({"payment"})), relay("b", purposes=frozenset({"payment", "offers"}))]
    assert set(shares(routes, "offers")) == {"b"}
    assert set(shares(routes, "payment")) == {"a", "b"}
    assert set(shares(routes, "newsletter")) == {NO_RELAY}


def break_down(route, now=0.0, episodes=1):
    for _ in range(episodes):
        route.breaker.failed(now)
        now = route.breaker.until
    return now


def test_after_one_failure_the_others_carry_and_without_others_it_is_still_tried():
    a, b = relay("a"), relay("b")
    a.breaker.failed(0.0)
    assert set(shares([a, b], now=1.0)) == {"b"}
    assert set(shares([a], now=1.0)) == {"a"}
    assert elsewhere([a, b], "newsletter", "other", a, 1.0)
    assert not elsewhere([a], "newsletter", "other", a, 1.0)
    b.breaker.failed(0.0)
    assert not elsewhere([a, b], "newsletter", "other", a, 1.0)


def test_an_open_relay_gets_one_probe_for_each_pause():
    a, b = relay("a"), relay("b")
    now = break_down(a, episodes=OPENS_AT)
    assert a.breaker.state(now - 1) is State.OPEN
    assert set(shares([a], now=now - 1)) == {OPEN}
    found = shares([a, b], now=now)
    assert (found["a"], found["b"]) == (1, len(MAILS) - 1)
    assert a.breaker.failed(now + 1) is False  # the probe failed: it stays open, and is not told again
    assert set(shares([a, b], now=now + 2)) == {"b"}
    found = shares([a, b], now=a.breaker.until)
    assert found["a"] == 1
    assert a.breaker.worked()
    assert shares([a, b], now=now) == shares([relay("a"), relay("b")])


@given(st.lists(st.tuples(st.floats(0, 100), st.sampled_from(["failed", "worked", "probe"])), max_size=50))
def test_a_breaker_is_never_stuck(steps):
    breaker, now = Breaker(), 0.0
    for wait, what in steps:
        now += wait
        if what == "failed":
            breaker.failed(now)
        elif what == "worked":
            breaker.worked()
        elif breaker.due(now):
            breaker.probe(now)
        assert breaker.until <= now + LONGEST_PAUSE
    assert breaker.state(now + LONGEST_PAUSE) is not State.OPEN


def test_a_crowd_that_fails_together_is_one_episode():
    breaker = Breaker()
    for _ in range(256):
        breaker.failed(0.5)
    assert (breaker.failures, breaker.until) == (1, 0.5 + FIRST_PAUSE)


def test_a_full_relay_is_passed_over_and_where_all_are_full_the_mail_waits():
    a, b = (relay(name, meter=Meter([("gmail", f"rate:{name}:gmail", 1.0)], name)) for name in "ab")
    a.meter._full["rate:a:gmail"] = 10.0
    assert {choose([a, b], "newsletter", "gmail", mail, 5.0).name for mail in MAILS} == {"b"}
    assert {choose([a, b], "newsletter", "other", mail, 5.0).name for mail in MAILS} == {"a", "b"}
    b.meter._full["rate:b:gmail"] = 10.0
    assert choose([a, b], "newsletter", "gmail", "m", 5.0) == RATE
    assert isinstance(choose([a, b], "newsletter", "gmail", "m", 10.0), Route)
    b.meter._full[WARM_UP] = 20.0
    assert choose([b], "newsletter", "other", "m", 15.0) == WARM_UP


TOML = """
[[relays]]
name = "main"
host = "mx.primer.si"
processor = "primer"
rate = 20
connections = 8
messages_per_connection = 50
weight = 3
purposes = ["newsletter"]
warm_up = {start = "2026-12-01", plan = [50, 100]}

[[limits]]
provider = "gmail"
rate = 5

[[limits]]
provider = "outlook"
relay = "main"
rate = 2
"""


def loaded(tmp_path, text):
    file = tmp_path / "preklic.toml"
    file.write_text(text)
    return load_settings({"PREKLIC_CONFIG": str(file)})


def test_limits_are_read_as_they_are_written(tmp_path):
    settings = loaded(tmp_path, TOML)
    (main,) = settings.relays
    assert (main.weight, main.purposes, main.messages_per_connection) == (3, ("newsletter",), 50)
    assert (main.warm_up.start, main.warm_up.plan) == (dt.date(2026, 12, 1), (50, 100))
    meter = meter_of(main, settings.limits)
    assert meter.rates == [("gmail", "rate::gmail", 5), ("outlook", "rate:main:outlook", 2), (None, "rate:main", 20)]
    other = SimpleNamespace(name="other", rate=0, warm_up=None)
    assert meter_of(other, settings.limits).rates == [("gmail", "rate::gmail", 5)]


def test_purposes_can_come_from_the_environment():
    names = {"NAME": "main", "HOST": "mx", "PROCESSOR": "p", "PURPOSES": "payment,offers"}
    settings = load_settings({f"PREKLIC_RELAYS__0__{key}": value for key, value in names.items()})
    assert settings.relays[0].purposes == ("payment", "offers")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("weight = 3", "wieght = 3"),
        ("weight = 3", "weight = 0"),
        ("rate = 20", "rate = -1"),
        ("plan = [50, 100]", "plan = []"),
        ("plan = [50, 100]", "plan = [0]"),
        ("plan = [50, 100]", "plan = [50], per = 'hour'"),
        ('start = "2026-12-01"', 'start = "1. 12. 2026"'),
        ('provider = "gmail"', 'provider = "gmail"\nrates = 5'),
        ('relay = "main"', 'relay = "mian"'),
        ("rate = 5\n", "rate = 0\n"),
        ("[[limits]]", '[[relays]]\nname = "main"\nhost = "x"\nprocessor = "p"\n\n[[limits]]'),
    ],
)
def test_a_limit_that_is_not_understood_is_refused(tmp_path, old, new):
    with pytest.raises(SettingsError):
        loaded(tmp_path, TOML.replace(old, new, 1))
