"""The gateway's pure parts: classes of user agents, clients behind proxies, limits, languages, idempotency."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preklic_producers.gateway import idempotency
from preklic_producers.gateway.agents import agent_of
from preklic_producers.gateway.clients import Ceiling, client_of, household, networks
from preklic_producers.gateway.errors import ApiError
from preklic_producers.gateway.idempotency import Answers
from preklic_producers.gateway.pages import Face, page
from preklic_producers.gateway.texts import TEXTS, language_of


@pytest.mark.parametrize(
    ("agent", "expected"),
    [
        ("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/140.0 Safari/537.36", "browser"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0) AppleWebKit/605.1.15 Mobile/15E148 Safari/604.1", "browser"),
        ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Thunderbird/140.0", "browser"),
        ("Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)", "proxy"),
        ("YahooMailProxy; https://help.yahoo.com/", "proxy"),
        ("Mozilla/5.0", "proxy"),
        ("Mozilla/5.0 (compatible; Googlebot/2.1)", "scanner"),
        ("python-requests/2.32", "scanner"),
        ("Barracuda Sentinel (EE)", "scanner"),
        ("Mozilla/5.0 HeadlessChrome/120", "scanner"),
        ("  ", "empty"),
        ("SomethingElse/1.0", "other"),
    ],
)
def test_user_agents_are_reduced_to_classes(agent, expected):
    assert agent_of({"user-agent": agent}) == expected


def test_a_prefetch_says_so():
    browser = "Mozilla/5.0 Firefox/140.0"
    assert agent_of({"user-agent": browser, "sec-purpose": "prefetch;prerender"}) == "proxy"
    assert agent_of({"user-agent": browser, "purpose": "prefetch"}) == "proxy"


@given(st.text())
def test_any_user_agent_has_a_class(text):
    assert agent_of({"user-agent": text}) in {"browser", "proxy", "scanner", "empty", "other"}


@given(st.text(), st.text())
def test_without_a_trusted_proxy_the_peer_is_the_client(peer, forwarded):
    assert client_of(peer, forwarded, ()) == peer


def test_the_last_hop_that_is_not_ours_is_the_client():
    ours = networks(["10.0.0.0/8", "::1"])
    assert client_of("10.0.0.1", "6.6.6.6, 198.51.100.7, 10.0.0.2", ours) == "198.51.100.7"
    assert client_of("::1", "2001:db8::7", ours) == "2001:db8::7"
    assert client_of("198.51.100.9", "6.6.6.6", ours) == "198.51.100.9"
    assert client_of("10.0.0.1", "", ours) == "10.0.0.1"


def test_a_limit_counts_ipv6_by_its_network():
    assert household("2001:db8:1:2:3::4") == household("2001:db8:1:2:ffff::1") != household("2001:db8:1:3::1")
    assert household("198.51.100.7") != household("198.51.100.8")
    assert household("nonsense") == ""


def test_a_client_is_heard_again_after_a_minute():
    now = [0.0]
    misses = Ceiling(3, clock=lambda: now[0])
    for _ in range(3):
        assert misses.below("198.51.100.7")
        misses.add("198.51.100.7")
    assert not misses.below("198.51.100.7")
    assert misses.below("198.51.100.8")
    now[0] += 61
    assert misses.below("198.51.100.7")


def test_counting_is_bounded():
    misses = Ceiling(60)
    for number in range(12_000):
        misses.add(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert len(misses._counts) == 10_000


@pytest.mark.parametrize(
    ("accept", "language"),
    [("", "sl"), ("sl-SI,sl;q=0.9,en;q=0.8", "sl"), ("en", "en"), ("de,fr", "sl"), ("en;q=x, sl;q=0.1", "sl")],
)
def test_languages(accept, language):
    assert language_of(accept) == language


@given(st.text())
def test_any_accept_language_is_understood(text):
    assert language_of(text) in TEXTS


def test_both_languages_say_the_same_things():
    assert TEXTS["sl"].keys() == TEXTS["en"].keys()


def test_a_title_is_escaped():
    assert "<script>" not in page(Face("en", "<script>", "https://a.example"), "<script>", "")


async def test_an_answer_is_kept_for_a_day_and_the_table_is_bounded(monkeypatch):
    now = [0.0]
    answers, count = Answers(clock=lambda: now[0]), []

    async def act():
        count.append(1)
        return len(count)

    place = ("shop", "/v1/messages", "key")
    assert await answers.once(place, b"body", act) == (1, False)
    now[0] += 23 * 3600
    assert await answers.once(place, b"body", act) == (1, True)
    now[0] += 2 * 3600
    assert await answers.once(place, b"body", act) == (2, False)
    monkeypatch.setattr(idempotency, "KEPT_ANSWERS", 10)
    for number in range(50):
        await answers.once(("shop", "/v1/messages", str(number)), b"", act)
    assert len(answers._kept) <= 11


@pytest.mark.attack(70, guard="preklic_producers.gateway.idempotency:Answers._find")
async def test_a_key_in_flight_is_409_and_no_body_is_kept():
    answers, go = Answers(), asyncio.Event()

    async def act():
        await go.wait()
        return {"id": "1"}

    place = ("shop", "/v1/messages", "key")
    first = asyncio.create_task(answers.once(place, b"ana@primer.si", act))
    await asyncio.sleep(0)
    with pytest.raises(ApiError) as refused:
        await asyncio.wait_for(answers.once(place, b"ana@primer.si", act), 1)
    assert refused.value.status == 409
    go.set()
    assert await first == ({"id": "1"}, False)
    assert b"ana" not in answers._kept[place].body
