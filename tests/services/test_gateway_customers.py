"""New or existing customer (U6): who may ask, what is written down of it first, and what the public never learns."""

import datetime as dt
import hashlib
import os
import time

import httpx
import pytest

from preklic_shared.ids import new_id
from preklic_shared.settings import ApiToken, Settings
from preklic_shared.token_keys import load_token_keys, write_token_key
from preklic_shared.tokens import Click, Confirm, Open, Preference, Unsubscribe
from preklic_shared.topology_apply import apply
from preklic_workers.answer import Answer
from preklic_workers.measured import as_actor
from preklic_workers.store import Unavailable
from producing import Served, alike, bodies_in, sealing
from queueing import working
from storing import NEWS, PAYMENT, REGISTRY, RING, grant, subject

ANA, BOR, CENE = "ana@primer.si", "bor@primer.si", "cene@primer.si"
SHOP, MAILS = "secret-of-the-shop", "secret-of-the-mailer"
TARGET = "https://lucrum.example/clanek"


@pytest.fixture
def sealed(tmp_path):
    return sealing(tmp_path)


@pytest.fixture
def settings(amqp_url, sealed, tmp_path):
    apply(amqp_url)
    write_token_key(tmp_path, 1)
    named = (("shop", SHOP, "customers"), ("mailer", MAILS, "messages"))
    return Settings(
        amqp_url=amqp_url,
        key_dir=tmp_path,
        sealing_keys=sealed.path,
        outbox=tmp_path / "outbox.sqlite",
        tokens=tuple(
            ApiToken(name=name, hash=hashlib.sha256(secret.encode()).hexdigest(), scopes=(scope, "consents"))
            for name, secret, scope in named
        ),
    )


@pytest.fixture
async def http(settings, sealed, free_port, amqp_url, store):
    """A client of a gateway whose questions a real answerer takes."""
    handler = as_actor(Answer(store, REGISTRY, RING.blind).ask)
    with Served(settings, free_port) as served:
        async with (
            working(amqp_url, {"ask": handler}, opener=sealed.opener),
            httpx.AsyncClient(base_url=served.url) as client,
        ):
            yield client


async def check(http, address, secret=SHOP):
    headers = {"authorization": f"Bearer {secret}"} if secret else {}
    return await http.post("/v1/customers/check", json={"address": address}, headers=headers)


@pytest.mark.clause("U6", guard="preklic_workers.store.acts:Acts.record")
async def test_each_check_leaves_an_act_with_who_asked_and_a_pseudonym_and_no_plaintext(http, store, monkeypatch):
    await grant(store, ANA, PAYMENT)
    await grant(store, BOR, NEWS)
    asked = [(await check(http, address)).json()["data"] for address in (ANA, BOR, CENE, "Ana@Primer.si")]
    assert [one["existing"] for one in asked] == [True, False, False, True]
    acts = (await store.acts.of(kind="customer_check"))[::-1]
    assert [act.by for act in acts] == ["shop"] * 4
    assert [act.person for act in acts] == [subject(ANA), subject(BOR), None, subject(ANA)]
    pseudonyms = [act.facts["pseudonym"] for act in acts]
    assert len(set(pseudonyms)) == 3
    assert pseudonyms[0] == pseudonyms[3]
    year = dt.timedelta(days=REGISTRY.get("customer_check").retention_days)
    assert all(abs(act.keep - act.at - year) < dt.timedelta(minutes=1) for act in acts)
    for collection in ("acts", "messages"):
        assert "primer.si" not in str(await store.mongo[collection].find({})).lower()

    async def away(*_):
        raise Unavailable("away")

    monkeypatch.setattr(type(store.acts), "record", away)
    assert (await check(http, ANA)).status_code == 503


@pytest.mark.clause("U6", guard="preklic_producers.gateway.tokens_auth:covers")
async def test_nobody_else_may_ask_and_nothing_is_recorded_of_them(http, store):
    assert (await check(http, ANA, None)).status_code == 401
    assert (await check(http, ANA, "guessed")).status_code == 401
    assert (await check(http, ANA, MAILS)).status_code == 403
    assert await store.acts.of() == []


@pytest.mark.clause("U6", guard="preklic_producers.gateway.answered:known")
async def test_no_public_page_and_no_sign_up_tells_the_known_from_the_unknown(http, settings, store, amqp_url):
    await grant(store, ANA, NEWS)
    keys = load_token_keys(settings.key_dir)
    pids = {"known": (await store.persons.whole(subject(ANA))).pid, "unknown": os.urandom(16)}

    async def asked(pid):
        """Every public page that carries a token of this person, asked and answered; but for the person's own /p."""
        message, made = new_id(), int(time.time())
        pages = {
            "/c/": keys.mint(Click(message, pid, 1, TARGET)),
            "/u/": keys.mint(Unsubscribe(message, pid, "newsletter")),
            "/confirm/": keys.mint(Confirm(message, pid, "newsletter", made)),
        }
        answers = [await http.get(path + token) for path, token in pages.items()]
        answers += [await http.post(path + token) for path, token in pages.items()]
        answers.append(await http.get(f"/o/{keys.mint(Open(message, pid))}.gif"))
        answers.append(await http.post(f"/p/{keys.mint(Preference(message, pid))}", data={"stop": "offers"}))
        return [alike(answer) for answer in answers]

    assert await asked(pids["known"]) == await asked(pids["unknown"])
    unknown = await http.get(f"/p/{keys.mint(Preference(new_id(), pids['unknown']))}")
    assert alike(unknown) == alike(await http.get("/p/forged"))
    proof = {"wording": "v3", "source": "https://lucrum.si", "method": "form"}
    headers = {"authorization": f"Bearer {MAILS}"}
    told = []
    for address in (ANA, CENE):
        body = {"address": address, "purposes": ["newsletter"], "proof": proof}
        answer = await http.post("/v1/consents", json=body, headers=headers)
        told.append(
            (answer.status_code, {name: value for name, value in answer.json()["data"].items() if name != "id"})
        )
    assert told[0] == told[1]
    assert len(bodies_in(amqp_url, "record")) == 4
