"""What a partner's token reaches, and what a partner's redirect tells: over real HTTP, RabbitMQ and MongoDB (U4)."""

import datetime as dt
import hashlib
import re

import httpx
import pytest

from preklic_producers.gateway.app import ROUTES
from preklic_shared.ids import new_id
from preklic_shared.redirects import redirect_to
from preklic_shared.registry import load_registry
from preklic_shared.settings import ApiToken, Settings, SettingsError
from preklic_shared.token_keys import load_token_keys, write_token_key
from preklic_shared.tokens import Click
from preklic_shared.topology_apply import apply
from preklic_workers.answer import Answer
from preklic_workers.figures import Cell
from preklic_workers.measured import as_actor
from preklic_workers.packing import Key
from preklic_workers.store.statistics import ClosedDay
from producing import Served, bodies_in, jobs_in, sealing
from queueing import working
from storing import REGISTRY, RING, grant

SECRET = "secret-of-the-partner"
ANA = "ana@primer.si"
TARGET = "https://partner.example/ponudba?a=1&b=%2F"
HOME = "https://novice.lucrum.example"
DAY = dt.date(2026, 11, 2)
# Where whoever comes is answered alike, with a token or without.
OPEN_TO_ALL = {"/", "/policy", "/openapi.json", "/healthz", "/readyz", "/metrics"}
QUEUES = ("send.now", "send.bulk", "track", "revoke", "record")


def token(name, secret, *scopes):
    return ApiToken(name=name, hash=hashlib.sha256(secret.encode()).hexdigest(), scopes=scopes)


@pytest.fixture
def settings(amqp_url, tmp_path):
    apply(amqp_url)
    write_token_key(tmp_path, 1)
    return Settings(
        amqp_url=amqp_url,
        key_dir=tmp_path,
        sealing_keys=sealing(tmp_path).path,
        outbox=tmp_path / "outbox.sqlite",
        public_url=HOME,
        tokens=(token("partner", SECRET, "partner:partner"), token("shop", "secret-of-the-shop", "messages")),
    )


@pytest.fixture
def served(settings, free_port):
    with Served(settings, free_port) as served:
        yield served


def cell(count, *, purpose="partner_offers", template="partner", state="sent", reads="", day=DAY):
    return Cell(day, Key(purpose, template, "gmail", state, "", reads), count)


async def filled(store):
    cells = [cell(120), cell(40, reads="clicked opened"), cell(10, state="bounced"), cell(70, template="-")]
    cells += [cell(500, purpose="newsletter", template="newsletter"), cell(300, purpose="offers")]
    await store.statistics.close(ClosedDay(DAY, cells, {"gmail": 990}))
    later = DAY + dt.timedelta(days=1)
    await store.statistics.close(ClosedDay(later, [cell(10, day=later)], {}))


@pytest.mark.clause("U4", guard="preklic_workers.figures:of_campaign")
async def test_a_partner_sees_the_counts_of_its_own_campaign_alone(served, amqp_url, store):
    await filled(store)
    handler = as_actor(Answer(store, REGISTRY, RING.blind).ask)
    headers = {"authorization": f"Bearer {SECRET}"}
    async with working(amqp_url, {"ask": handler}), httpx.AsyncClient(base_url=served.url, headers=headers) as http:
        told = (await http.get("/v1/partners/statistics")).json()["data"]
        assert told["campaign"] == "partner"
        assert told["counts"] == {"sent": 170, "opened": 40, "clicked": 40, "bounced": 10}
        of_day = await http.get("/v1/partners/statistics", params={"from": "2026-11-03", "to": "2026-11-03"})
        assert of_day.json()["data"]["counts"] == {"sent": 10}
        none = await http.get("/v1/partners/statistics", params={"from": "2027-01-01"})
        assert none.json()["data"]["counts"] == {}
        for wrong in ({"from": "yesterday"}, {"by": "person"}, {"from": "2026-11-03T00:00"}):
            assert (await http.get("/v1/partners/statistics", params=wrong)).status_code == 422


@pytest.mark.clause("U4", guard="preklic_producers.gateway.tokens_auth:covers")
async def test_a_partners_token_reaches_no_address_no_id_and_no_small_count(served, amqp_url, store):
    """Every route of the app, as a partner would walk it: with bodies that do something for whoever may."""
    await grant(store, ANA)
    await filled(store)
    bodies = {
        "/v1/messages": {"to": ANA, "purpose": "newsletter", "template": "newsletter", "data": {}},
        "/v1/customers/check": {"address": ANA},
        "/v1/consents/withdraw": {"person": ANA, "reason": "asked"},
    }
    handler = as_actor(Answer(store, REGISTRY, RING.blind).ask)
    headers = {"authorization": f"Bearer {SECRET}"}
    reached = set()
    async with working(amqp_url, {"ask": handler}), httpx.AsyncClient(base_url=served.url, headers=headers) as http:
        for route in ROUTES:
            path = re.sub(r"\{token:whole\}|\{id\}", new_id(), route.path)
            for method in route.methods - {"HEAD"}:
                answer = await http.request(method, path, json=bodies.get(path, {}) if method == "POST" else None)
                if route.path in OPEN_TO_ALL:
                    assert answer.content == (await httpx.AsyncClient().get(served.url + path)).content or (
                        route.path == "/metrics"
                    )
                elif path.startswith("/v1/"):
                    reached |= {path} if answer.status_code != 403 else set()
                assert ANA.encode() not in answer.content
                assert "@" not in re.sub(r"<style>.*?</style>|[a-z]+@lucrum\.example", "", answer.text)
    assert reached == {"/v1/partners/statistics"}
    assert not [queue for queue in QUEUES if bodies_in(amqp_url, queue)]


@pytest.mark.clause("U4", guard="preklic_producers.gateway.tokens_auth:check_scopes")
@pytest.mark.parametrize(
    "scopes", [("partner:partner", "status"), ("partner:newsletter",), ("partner:",), ("partner:partner", "partner:x")]
)
def test_a_partners_token_with_any_other_scope_stops_the_start(settings, free_port, scopes):
    fields = {name: getattr(settings, name) for name in settings.__struct_fields__}
    with pytest.raises(SettingsError, match="TOKENS"):
        Served(Settings(**{**fields, "tokens": (token("partner", SECRET, *scopes),)}), free_port)


def test_others_tokens_are_no_partners(served):
    for secret, code in (("secret-of-the-shop", 403), ("nobody", 401)):
        headers = {"authorization": f"Bearer {secret}"}
        assert httpx.get(f"{served.url}/v1/partners/statistics", headers=headers).status_code == code


def test_partners_ask_no_more_often_than_others(served):
    served.gateway.checks._limit = 0
    answer = httpx.get(f"{served.url}/v1/partners/statistics", headers={"authorization": f"Bearer {SECRET}"})
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "60")


@pytest.mark.clause("U4", guard="preklic_shared.tokens:TokenKeys.check")
def test_the_redirect_leads_everybody_to_the_same_bytes_and_says_not_from_where(served, settings, amqp_url):
    keys = load_token_keys(settings.key_dir)
    of_nobody = keys.mint(redirect_to(TARGET))
    counted = [keys.mint(Click(new_id(), bytes([n]) * 16, n, TARGET)) for n in range(1, 4)]
    answers = [httpx.get(f"{served.url}/c/{text}") for text in (of_nobody, *counted)]
    assert {(answer.status_code, answer.headers["location"]) for answer in answers} == {(302, TARGET)}
    assert {answer.headers["referrer-policy"] for answer in answers} == {"no-referrer"}
    assert {answer.content for answer in answers} == {b""}
    assert len(jobs_in(amqp_url, "track")) == len(counted)


@pytest.mark.clause("U4", guard="preklic_shared.redirects:of_somebody")
def test_a_redirect_of_nobody_is_nobodys_click(served, settings, amqp_url):
    text = load_token_keys(settings.key_dir).mint(redirect_to(TARGET))
    assert text == load_token_keys(settings.key_dir).mint(redirect_to(TARGET))
    assert httpx.get(f"{served.url}/c/{text}").headers["location"] == TARGET
    assert jobs_in(amqp_url, "track") == []


def test_the_counts_that_a_partner_may_ask_for_are_those_of_partners_templates():
    assert load_registry().partners == {"partner"}
