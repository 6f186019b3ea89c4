"""The public pages over real HTTP, in front of a real RabbitMQ: what they answer, and what lies in the queues."""

import hashlib
import json
import random
import re
import socket
import statistics
import time

import httpx
import pytest

from preklic_producers.gateway.public import GIF
from preklic_producers.outbox import Outbox
from preklic_shared.ids import new_id
from preklic_shared.jobs import GrantPayload
from preklic_shared.settings import ApiToken, Settings
from preklic_shared.token_keys import load_token_keys, write_token_key
from preklic_shared.tokens import Click, Confirm, Open, Preference, TokenKeys, Unsubscribe
from preklic_shared.topology_apply import apply
from producing import Answerer, Served, Wire, alike, bodies_in, jobs_in, sealing
from sending import PROCESSOR
from waiting import until

PID = bytes(range(16))
MESSAGE = new_id()
HOME = "https://novice.lucrum.example"
TARGET = "https://lucrum.example/clanek?a=1&b=%2F"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
SECRET = "a-token-of-the-shop"
QUEUES = ("send.now", "send.bulk", "track", "revoke", "record")


@pytest.fixture
def sealed(tmp_path):
    return sealing(tmp_path)


@pytest.fixture
def settings(amqp_url, sealed, tmp_path):
    apply(amqp_url)
    write_token_key(tmp_path, 1)
    return Settings(
        amqp_url=amqp_url,
        key_dir=tmp_path,
        sealing_keys=sealed.path,
        outbox=tmp_path / "outbox.sqlite",
        public_url=HOME,
        processors=(PROCESSOR,),
        tokens=(ApiToken(name="shop", hash=hashlib.sha256(SECRET.encode()).hexdigest(), scopes=("messages",)),),
    )


@pytest.fixture
def keys(settings):
    return load_token_keys(settings.key_dir)


@pytest.fixture
def served(settings, free_port):
    with Served(settings, free_port) as served:
        yield served


@pytest.fixture
def http(served):
    with httpx.Client(base_url=served.url, headers={"user-agent": FIREFOX}) as client:
        yield client


@pytest.fixture
def away(settings, free_port, tmp_path):
    """Settings whose broker is behind a wire that is cut."""
    wire = Wire(settings.amqp_url, free_port)
    fields = {name: getattr(settings, name) for name in settings.__struct_fields__}
    yield Settings(**{**fields, "amqp_url": wire.url}), wire
    wire.cut()


def changed(url):
    return {queue: jobs_in(url, queue) for queue in QUEUES if queue != "track"}


def nothing_changed(url):
    return not any(changed(url).values())


def forgeries(keys):
    """Texts that are no token for /u and /o, in every way that comes to mind."""
    good = keys.mint(Unsubscribe(MESSAGE, PID, "newsletter"))
    foreign = TokenKeys({1: bytes(31) + b"x"}, 1)
    return [
        "x",
        good[:-1],
        good[:40],
        good + "A",
        good + "=",
        good[:-1] + ("A" if good[-1] != "A" else "B"),
        "A" * 100,
        "A" * 5000,
        foreign.mint(Unsubscribe(MESSAGE, PID, "newsletter")),
        foreign.mint(Open(MESSAGE, PID)),
        keys.mint(Preference(MESSAGE, PID)),
        keys.mint(Click(MESSAGE, PID, 0, TARGET)),
        "%00",
        "%F0%9F%98%80",
        "..%2f..%2fetc",
        "%0a",
    ]


# A good click, and what must never become a Location.


@pytest.mark.clause("U12", guard="preklic_producers.gateway.agents:agent_of")
def test_a_click_is_redirected_and_recorded_without_address_or_user_agent(http, keys, amqp_url):
    answer = http.get(f"/c/{keys.mint(Click(MESSAGE, PID, 3, TARGET))}")
    assert (answer.status_code, answer.headers["location"]) == (302, TARGET)
    (body,) = bodies_in(amqp_url, "track")
    assert b"Firefox" not in body
    assert b"127.0.0.1" not in body
    http.get(f"/c/{keys.mint(Click(MESSAGE, PID, 3, TARGET))}")
    (job,) = jobs_in(amqp_url, "track")
    assert (job.event, job.message, job.person, job.link, job.agent) == ("clicked", MESSAGE, PID.hex(), 3, "browser")


def test_the_short_way_of_clicks_and_pixels_answers_as_the_routes_do(served, http, keys, amqp_url):
    click, pixel = keys.mint(Click(MESSAGE, PID, 1, TARGET)), keys.mint(Open(MESSAGE, PID))
    for path in (f"/c/{click}", f"/o/{pixel}.gif"):
        short, routed = http.get(path), http.head(path)
        assert short.status_code == routed.status_code
        assert {**short.headers, "date": ""} == {**routed.headers, "date": ""}
    assert http.get(f"/o/{pixel}.gif").content == http.get("/o/x.gif").content == GIF
    assert [job.event for job in jobs_in(amqp_url, "track")] == ["clicked", "opened", "opened"]
    odd = keys.mint(Click(MESSAGE, PID, 65_535, TARGET))  # signed, and no job holds such a link
    for path in (f"/c/{click}%0A", f"/o/{pixel}", f"/c/{odd}", f"/C/{click}"):
        assert raw(served, f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").count(TARGET.encode()) == 0
    assert bodies_in(amqp_url, "track") == []


@pytest.mark.attack(48, guard="preklic_shared.tokens:same")
@pytest.mark.parametrize(
    "path",
    ["/c/https://evil.si", "/c//evil.si", "/c/%2f%2fevil.si", "/c/a%0d%0aLocation:%20https://evil.si", "/c/\\evil.si"],
)
def test_only_a_signed_url_is_ever_a_location(served, keys, amqp_url, path):
    assert raw(served, f"GET {path} HTTP/1.1\r\nHost: evil.si\r\n\r\n").count(b"evil.si") == 0
    assert f"location: {HOME}/\r\n".encode() in raw(served, f"GET {path} HTTP/1.1\r\nHost: evil.si\r\n\r\n").lower()
    unsigned = TokenKeys({1: bytes(31) + b"x"}, 1).mint(Click(MESSAGE, PID, 0, "https://evil.si/"))
    answer = httpx.get(f"{served.url}/c/{unsigned}")
    assert (answer.status_code, answer.headers["location"]) == (302, f"{HOME}/")
    assert bodies_in(amqp_url, "track") == []


@pytest.mark.attack(48, guard="preklic_producers.gateway.app:_without_redirects")
def test_a_stray_path_is_never_redirected_by_the_host_header(settings, free_port):
    with Served(settings, free_port) as served:
        for path in ("//evil.si", "//evil.si/", "/policy/", "//evil.si/%2e%2e", "/v1/messages/"):
            answer = raw(served, f"GET {path} HTTP/1.1\r\nHost: evil.si\r\n\r\n")
            assert answer.split(b" ", 2)[1] in {b"404", b"401", b"405"}
            assert b"location:" not in answer.lower()


# One-click.


@pytest.mark.attack(51, guard="preklic_producers.gateway.public:stop")
@pytest.mark.parametrize(
    "body",
    [
        {"data": {"List-Unsubscribe": "One-Click"}},
        {"files": {"List-Unsubscribe": (None, "One-Click")}},
        {"content": b""},
        {"content": b"\xff\x00 anything", "headers": {"content-type": "application/json"}},
        {"content": b"", "headers": {"user-agent": ""}},
        {"content": b"", "headers": {"user-agent": "Googlebot/2.1"}},
    ],
)
def test_one_click_stops_the_purpose_whatever_the_body(http, keys, amqp_url, body):
    token = keys.mint(Unsubscribe(MESSAGE, PID, "newsletter"))
    answers = [http.post(f"/u/{token}", **body) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    jobs = jobs_in(amqp_url, "revoke")
    assert {(job.person, job.message, job.purposes, job.source) for job in jobs} == {
        (PID.hex(), MESSAGE, ("newsletter",), "one_click")
    }
    assert len({job.id for job in jobs}) == 3


@pytest.mark.attack(49, guard="preklic_producers.gateway.public:acts")
def test_looking_at_a_page_changes_nothing(http, keys, amqp_url):
    token = keys.mint(Unsubscribe(MESSAGE, PID, "newsletter"))
    for page in (f"/u/{token}", f"/p/{keys.mint(Preference(MESSAGE, PID))}", f"/confirm/{token}", f"/c/{token}"):
        assert http.get(page, headers={"sec-purpose": "prefetch"}).status_code in {200, 302}
        assert http.head(page).status_code in {200, 302}
        assert http.options(page).status_code == 405
        assert http.put(page).status_code == http.delete(page).status_code == http.patch(page).status_code == 405
    assert nothing_changed(amqp_url)
    assert http.post(f"/u/{token}").status_code == 200
    assert len(jobs_in(amqp_url, "revoke")) == 1


@pytest.mark.clause("U6", guard="preklic_shared.tokens:same")
@pytest.mark.attack(47, guard="preklic_shared.tokens:same")
def test_forged_tokens_get_the_very_answer_of_good_ones_and_change_nothing(http, served, keys, amqp_url):
    served.gateway.misses._limit = 10_000
    stop, seen = keys.mint(Unsubscribe(MESSAGE, PID, "newsletter")), keys.mint(Open(MESSAGE, PID))
    good = [alike(http.get(f"/u/{stop}")), alike(http.post(f"/u/{stop}")), alike(http.get(f"/o/{seen}.gif"))]
    assert good[2][2] == GIF.decode("latin-1")
    assert len(jobs_in(amqp_url, "revoke")) == len(jobs_in(amqp_url, "track")) == 1
    for text in forgeries(keys):
        assert good == [
            alike(http.get(f"/u/{text}")),
            alike(http.post(f"/u/{text}")),
            alike(http.get(f"/o/{text}.gif")),
        ]
    assert nothing_changed(amqp_url)
    assert bodies_in(amqp_url, "track") == []


@pytest.mark.attack(47, guard="preklic_producers.gateway.lookalikes:strangers")
def test_a_stop_shows_a_receipt_and_the_way_to_the_preferences_and_that_of_a_forged_one_leads_nowhere(
    http, keys, amqp_url
):
    good = keys.mint(Unsubscribe(MESSAGE, PID, "newsletter"))
    foreign = TokenKeys({1: bytes(32)}, 1).mint(Unsubscribe(MESSAGE, PID, "newsletter"))
    receipts, links = [], []
    for text in (good, foreign, good[:-6] + "AAAAAA", "A" * 82, "x"):
        answer = http.post(f"/u/{text}").text
        receipts.append(re.search("<code>(.*?)</code>", answer)[1])
        links.append(re.search('/p/([^"]+)"', answer)[1])
    (job,) = jobs_in(amqp_url, "revoke")
    assert receipts[0] == job.id
    assert [keys.check(link, Preference) for link in links] == [Preference(MESSAGE, PID), None, None, None, None]
    assert len(set(receipts)) == len(set(links)) == 5
    assert len({len(link) for link in links}) == 1
    # What can be read of it without the key does not tell them apart.
    assert len({link[:46] for link in links[:3]}) == 1


@pytest.mark.attack(47, guard="preklic_producers.gateway.context:Pace.pretend")
def test_a_forged_token_takes_as_long_as_a_good_one(http, served, keys):
    served.gateway.misses._limit = 10_000
    good, bad = keys.mint(Unsubscribe(MESSAGE, PID, "newsletter")), "A" * 82
    times = {good: [], bad: []}
    for _ in range(60):
        for text in random.sample([good, bad], 2):
            begun = time.perf_counter()
            assert http.post(f"/u/{text}").status_code == 200
            times[text].append(time.perf_counter() - begun)
    medians = [statistics.median(times[text][10:]) for text in (good, bad)]
    assert 0.6 < medians[0] / medians[1] < 1.7, medians


def test_a_token_for_a_purpose_that_nobody_can_stop_changes_nothing(http, keys, amqp_url):
    assert http.post(f"/u/{keys.mint(Unsubscribe(MESSAGE, PID, 'payment'))}").status_code == 200
    assert nothing_changed(amqp_url)


@pytest.mark.attack(50, guard="preklic_producers.gateway.bodies:_within")
def test_a_large_body_is_refused_and_nothing_changes(http, keys, amqp_url):
    token = keys.mint(Unsubscribe(MESSAGE, PID, "newsletter"))

    def stream():
        yield from [b"x" * 65536] * 16

    assert http.post(f"/u/{token}", content=b"x" * 2**20).status_code == 413
    assert http.post(f"/u/{token}", content=stream()).status_code == 413
    assert nothing_changed(amqp_url)


@pytest.mark.attack(50)
def test_two_lengths_or_a_click_s_token_change_nothing(served, http, keys, amqp_url):
    token = keys.mint(Unsubscribe(MESSAGE, PID, "newsletter"))
    head = f"POST /u/{token} HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert raw(served, head + "0\r\n\r\n").split(b" ", 2)[1] == b"400"
    click = keys.mint(Click(MESSAGE, PID, 0, TARGET))
    assert http.post(f"/c/{click}").status_code == 405
    assert http.post(f"/u/{click}").status_code == 200
    assert nothing_changed(amqp_url)


@pytest.mark.attack(50, guard="preklic_producers.gateway.bodies:SECONDS")
def test_a_body_that_drips_is_cut_off(served, keys, amqp_url):
    token = keys.mint(Unsubscribe(MESSAGE, PID, "newsletter"))
    with socket.create_connection(("127.0.0.1", int(served.url.rpartition(":")[2])), timeout=8) as slow:
        slow.sendall(f"POST /u/{token} HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nx".encode())
        begun = time.monotonic()
        answer = slow.recv(65536)
    assert answer.split(b" ", 2)[1] == b"408"
    assert time.monotonic() - begun < 8
    assert nothing_changed(amqp_url)


@pytest.mark.attack(52, guard="preklic_producers.gateway.clients:Ceiling.below")
def test_guessing_is_slowed_down_and_a_withdrawal_never_is(http, keys, amqp_url):
    good = keys.mint(Unsubscribe(MESSAGE, PID, "newsletter"))
    first = [http.get(f"/p/{n:x}A").status_code for n in range(70)]
    assert (first[0], first[-1]) == (200, 429)
    told = http.get(f"/u/{good}", headers={"accept": "text/html", "accept-language": "en"})
    assert (told.status_code, told.headers["retry-after"]) == (429, "60")
    assert "Please try again" in told.text
    answers = {http.post(f"/u/{text}").status_code for text in [good, *forgeries(keys)]}
    assert answers == {200}
    assert len(jobs_in(amqp_url, "revoke")) == 1


@pytest.mark.attack(53, guard="preklic_producers.gateway.clients:within")
def test_a_forged_host_or_forwarded_address_is_not_believed(http, keys):
    evil = {"host": "evil.si", "x-forwarded-host": "evil.si", "forwarded": "host=evil.si"}
    for page in ("/policy", f"/u/{keys.mint(Unsubscribe(MESSAGE, PID, 'newsletter'))}", "/c/x", "/"):
        answer = http.get(page, headers=evil)
        assert "evil.si" not in answer.text + str(answer.headers)
    codes = [http.get("/p/x", headers={"x-forwarded-for": f"198.51.100.{n}"}).status_code for n in range(70)]
    assert codes[-1] == 429


def test_a_trusted_proxy_is_believed(settings, free_port):
    fields = {name: getattr(settings, name) for name in settings.__struct_fields__}
    with Served(Settings(**{**fields, "trusted_proxies": ("127.0.0.0/8",)}), free_port) as served:
        url = f"{served.url}/p/x"
        codes = [httpx.get(url, headers={"x-forwarded-for": f"9.9.9.9, 198.51.100.{n}"}).status_code for n in range(70)]
        assert set(codes) == {200}
        codes = [httpx.get(url, headers={"x-forwarded-for": f"9.9.9.{n}, 198.51.100.9"}).status_code for n in range(70)]
        assert codes[-1] == 429


@pytest.mark.attack(55, guard="preklic_producers.gateway.shield:HEADERS")
def test_every_answer_keeps_to_itself(settings, free_port, keys):
    with Served(settings, free_port) as served, httpx.Client(base_url=served.url) as http:
        keeps_to_itself(http, keys)


def keeps_to_itself(http, keys):
    http.cookies.set("a", "b")
    paths = ["/policy", "/", "/nowhere", "/healthz", "/readyz", "/metrics", "/openapi.json", "/c/x", "/o/x.gif", "/u/x"]
    paths += [f"/p/{keys.mint(Preference(MESSAGE, PID))}", f"/c/{keys.mint(Click(MESSAGE, PID, 0, TARGET))}"]
    answers = [http.get(path) for path in paths] + [http.post("/u/x"), http.post("/v1/messages"), http.put("/u/x")]
    for answer in answers:
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["strict-transport-security"]
        assert "set-cookie" not in answer.headers
        assert "server" not in answer.headers
        assert "<script" not in answer.text


# Preferences and confirmation.


def test_without_an_answer_the_preference_centre_has_stop_buttons_alone(http, keys):
    begun = time.monotonic()
    text = http.get(f"/p/{keys.mint(Preference(MESSAGE, PID))}", headers={"accept-language": "en"}).text
    assert time.monotonic() - begun < 4
    assert 'name="stop" value="newsletter"' in text
    assert 'name="stop" value="engagement.opens"' in text
    assert 'name="stop" value="proposals.profiling"' in text
    assert 'value="payment"' not in text
    assert 'name="start"' not in text


def test_with_an_answer_it_shows_how_things_stand(http, keys, amqp_url):
    answer = json.dumps({"permissions": {"newsletter": "granted", "offers": "withdrawn"}}).encode()
    with Answerer(amqp_url, lambda _job: answer) as answerer:
        text = http.get(f"/p/{keys.mint(Preference(MESSAGE, PID))}", headers={"accept-language": "en"}).text
    assert [job.person for job in answerer.asked] == [PID.hex()]
    assert 'name="stop" value="newsletter"' in text
    assert 'name="start" value="offers"' in text
    assert re.search("Newsletter</h3>.*?State: <strong>subscribed<", text)


@pytest.mark.parametrize(
    ("state", "action", "words"),
    [
        ("none", "stop", ("State: <strong>on<", "Stanje: <strong>vključeno<")),
        ("granted", "stop", ("State: <strong>on<", "Stanje: <strong>vključeno<")),
        ("objected", "start", ("you get the general version", "prejemate splošno različico")),
        ("withdrawn", "start", ("you get the general version", "prejemate splošno različico")),
    ],
)
def test_the_switch_against_individual_mail_stands_beside_its_purpose(http, keys, amqp_url, state, action, words):
    answer = json.dumps({"permissions": {"proposals": "granted", "proposals.profiling": state}}).encode()
    with Answerer(amqp_url, lambda _job: answer):
        for language, word in zip(("en", "sl"), words, strict=True):
            page = http.get(f"/p/{keys.mint(Preference(MESSAGE, PID))}", headers={"accept-language": language}).text
            assert word in page
            assert f'name="{action}" value="proposals.profiling"' in page
            assert 'name="stop" value="proposals"' in page


def test_an_objection_is_a_withdrawal_of_the_switch_alone_and_its_start_keeps_the_words(http, keys, sealed, amqp_url):
    page = f"/p/{keys.mint(Preference(MESSAGE, PID))}"
    assert http.post(page, data={"stop": "proposals.profiling"}).status_code == 200
    assert http.post(page, data={"start": "proposals.profiling"}, headers={"accept-language": "sl"}).status_code == 200
    assert [job.purposes for job in jobs_in(amqp_url, "revoke")] == [("proposals.profiling",)]
    (grant,) = jobs_in(amqp_url, "record")
    payload = sealed.open(grant)
    assert payload.purposes == ("proposals.profiling",)
    assert payload.proof.wording == "Prilagajajte: Predlogi in obvestila: prilagajanje vam"


@pytest.mark.clause("U6", guard="preklic_producers.gateway.answered:known")
def test_the_preference_centre_of_an_unknown_person_is_that_of_a_forged_token(http, keys, amqp_url):
    nobody = b"{}"
    with Answerer(amqp_url, lambda _job: nobody):
        unknown = http.get(f"/p/{keys.mint(Preference(MESSAGE, PID))}")
    assert alike(unknown) == alike(http.get("/p/forged"))


@pytest.mark.parametrize(
    "answer",
    [b"", b"[]", b'{"permissions": 3}', b"x" * 100_000, b'{"permissions": {"a": {}}}'],
)
def test_a_broken_answer_is_no_answer_and_no_error(http, keys, amqp_url, answer):
    with Answerer(amqp_url, lambda _job: answer):
        assert http.get(f"/p/{keys.mint(Preference(MESSAGE, PID))}").status_code == 200


def test_a_stop_acts_at_once_and_a_start_waits_for_its_confirmation(http, keys, sealed, amqp_url):
    page = f"/p/{keys.mint(Preference(MESSAGE, PID))}"
    assert http.post(page, data={"stop": "newsletter"}).status_code == 200
    assert http.post(page, data={"stop": "all"}).status_code == 200
    assert http.post(page, data={"start": "offers"}, headers={"accept-language": "en"}).status_code == 200
    assert [job.purposes for job in jobs_in(amqp_url, "revoke")] == [("newsletter",), "all"]
    (grant,) = jobs_in(amqp_url, "record")
    assert (grant.person, grant.token_at) == (PID.hex(), None)
    payload = sealed.open(grant)
    assert isinstance(payload, GrantPayload)
    assert (payload.purposes, payload.confirmed, payload.proof.language) == (("offers",), False, "en")


@pytest.mark.clause("U7", guard="preklic_producers.gateway.preferences:erasure")
def test_a_person_asks_for_erasure_on_two_pages_and_the_first_changes_nothing(http, keys, amqp_url):
    page = f"/p/{keys.mint(Preference(MESSAGE, PID))}"
    assert 'name="erase" value="ask"' in http.get(page).text
    asked = http.post(page, data={"erase": "ask"})
    assert 'name="erase" value="yes"' in asked.text
    assert "Izbrisanega ni mogoče vrniti" in asked.text
    assert http.get(f"{page}?erase=yes").status_code == 200
    done = http.post(page, data={"erase": "yes"})
    assert alike(http.post("/p/forged", data={"erase": "yes"})) == alike(done)
    (job,) = jobs_in(amqp_url, "revoke")
    assert (job.erase, job.purposes, job.source, job.person) == (True, "all", "preference", PID.hex())
    assert job.id in done.text


def test_an_erased_person_s_link_shows_the_receipt(http, keys, amqp_url):
    told = {"at": 1_795_000_000, "receipt": MESSAGE, "kept": ["contact"]}
    answer = json.dumps({"permissions": {}, "erased": told}).encode()
    with Answerer(amqp_url, lambda _job: answer):
        pages = [
            http.get(f"/p/{keys.mint(Preference(MESSAGE, PID))}", headers={"accept-language": language}).text
            for language in ("sl", "en")
        ]
    for text, words in zip(pages, ("Vaše podatke smo izbrisali", "an open contract or a legal claim"), strict=True):
        assert MESSAGE in text
        assert "18. 11. 2026" in text
        assert words in text
        assert "<button" not in text


def test_a_form_that_makes_no_sense_is_refused_and_one_with_a_forged_token_changes_nothing(http, keys, amqp_url):
    page = f"/p/{keys.mint(Preference(MESSAGE, PID))}"
    for form in ({}, {"stop": "payment"}, {"start": "all"}, {"stop": "unheard"}, {"x": "y"}):
        assert http.post(page, data=form).status_code == 400
    assert http.post(page, content=b"\xff" * 50).status_code == 400
    good = http.post(page, data={"stop": "newsletter"})
    assert alike(http.post("/p/forged", data={"stop": "newsletter"})) == alike(good)
    assert len(jobs_in(amqp_url, "revoke")) == 1


def test_a_confirmation_is_a_confirmed_grant_and_carries_the_token_s_time(http, keys, sealed, amqp_url):
    made = int(time.time()) - 100
    page = f"/confirm/{keys.mint(Confirm(MESSAGE, PID, 'newsletter', made))}"
    assert "form" in http.get(page).text
    assert jobs_in(amqp_url, "record") == []
    assert http.post(page).status_code == 200
    (grant,) = jobs_in(amqp_url, "record")
    assert (grant.person, grant.token_at) == (PID.hex(), made * 1000)
    payload = sealed.open(grant)
    assert (payload.confirmed, payload.proof.method, payload.purposes) == (True, "double_opt_in", ("newsletter",))
    assert payload.proof.wording == "Ali potrjujete prijavo? Da, potrjujem"


def test_an_old_confirmation_confirms_nothing_and_answers_alike(http, keys, amqp_url):
    fresh, old = (
        http.post(f"/confirm/{keys.mint(Confirm(MESSAGE, PID, 'newsletter', int(time.time()) - age))}")
        for age in (1, 31 * 86_400)
    )
    assert alike(fresh) == alike(old)
    assert len(jobs_in(amqp_url, "record")) == 1


@pytest.mark.parametrize(("accept", "language", "word"), [("sl", "sl", "Odjava"), ("en-GB,en", "en", "Unsubscribe")])
def test_pages_speak_slovenian_and_english_and_are_alike(http, accept, language, word):
    text = http.get("/u/x", headers={"accept-language": accept}).text
    assert f'<html lang="{language}">' in text
    assert word in text
    assert '<meta name="viewport"' in text
    assert len(re.findall("<h1>", text)) == 1
    assert "LUCRUM" in http.get("/policy", headers={"accept-language": accept}).text


def test_the_policy_is_there_in_both_languages_with_the_processors_of_today(http):
    for asked, wanted in (("?lang=en", "en"), ("?lang=sl", "sl"), ("", "sl"), ("?lang=de", "sl"), ("?lang=en&x", "en")):
        answer = http.get(f"/policy{asked}", headers={"accept-language": "sl"})
        assert answer.headers["content-language"] == wanted
        assert f'<html lang="{wanted}">' in answer.text
        assert "hramba e-poštnega naslova v bazi do preklica;" in answer.text
        assert "Mail company (SI" in answer.text


def test_a_browser_gets_a_page_where_a_program_gets_json(http):
    browser = {"accept": "text/html,*/*;q=0.8", "accept-language": "en"}
    for method, path, status, word in (
        ("GET", "/nowhere", 404, "There is no such page"),
        ("PUT", "/u/x", 405, "We did not understand"),
        ("POST", "/u/x", 413, "We did not understand"),
    ):
        content = b"x" * 2**15 if status == 413 else None
        page = http.request(method, path, headers=browser, content=content)
        assert (page.status_code, page.headers["content-type"]) == (status, "text/html; charset=utf-8")
        assert word in page.text
        assert http.request(method, path, content=content).json()["code"]
    assert http.get("/v1/nowhere", headers=browser).json()["code"] == "not_found"


def test_the_address_of_a_page_goes_before_the_language_of_the_browser(http):
    for path in ("/u/x", "/p/x", "/confirm/x"):
        page = http.get(f"{path}?lang=en", headers={"accept-language": "sl"}).text
        assert '<html lang="en">' in page
        assert '<a href="?lang=sl" lang="sl" hreflang="sl">' in page
    assert '<html lang="en">' in http.post("/u/x?lang=en", headers={"accept-language": "sl"}).text


# Without the broker.


@pytest.mark.attack(56, guard="preklic_producers.gateway.delivery:Shelf.put")
def test_without_a_broker_one_click_is_kept_on_disk_and_mail_links_work(away, keys, amqp_url):
    settings, wire = away
    with Served(settings, port()) as served, httpx.Client(base_url=served.url) as http:
        begun = time.monotonic()
        assert http.post(f"/u/{keys.mint(Unsubscribe(MESSAGE, PID, 'newsletter'))}").status_code == 200
        assert http.get(f"/o/{keys.mint(Open(MESSAGE, PID))}.gif").content == GIF
        assert http.get(f"/c/{keys.mint(Click(MESSAGE, PID, 0, TARGET))}").headers["location"] == TARGET
        assert time.monotonic() - begun < 4
        assert len(Outbox(settings.outbox)) == 3
        ready = http.get("/readyz")
        assert (ready.status_code, ready.json()["checks"]["broker"]) == (200, False)
        assert "preklic_outbox_jobs 3.0" in http.get("/metrics").text
        wire.mend()
        (job,) = until(lambda: jobs_in(amqp_url, "revoke"), 20, "the withdrawal is published")
        assert (job.person, job.purposes) == (PID.hex(), ("newsletter",))
        until(lambda: len(Outbox(settings.outbox)) == 0, 10, "the box is empty")


def test_what_the_outbox_kept_goes_out_after_a_restart(away, keys, amqp_url):
    settings, wire = away
    with Served(settings, port()) as served:
        assert httpx.post(f"{served.url}/u/{keys.mint(Unsubscribe(MESSAGE, PID, 'newsletter'))}").status_code == 200
    wire.mend()
    with Served(settings, port()):
        assert until(lambda: jobs_in(amqp_url, "revoke"), 20, "the withdrawal is published")


def test_a_half_full_outbox_drops_clicks_and_keeps_withdrawals(away, keys):
    settings, _ = away
    with Served(settings, port()) as served, httpx.Client(base_url=served.url) as http:
        served.gateway.delivery._box._max = 10_000
        click = keys.mint(Click(MESSAGE, PID, 0, TARGET))
        before = dropped(http)
        assert {http.get(f"/c/{click}").headers["location"] for _ in range(20)} == {TARGET}
        assert dropped(http) - before > 5
        assert http.post(f"/u/{keys.mint(Unsubscribe(MESSAGE, PID, 'newsletter'))}").status_code == 200
        actors = [parcel.actor for parcel in Outbox(settings.outbox).waiting()]
        assert actors.count("revoke") == 1
        assert 3 < actors.count("track") < 15


def test_a_withdrawal_that_no_disk_took_is_never_answered_as_done(away, keys, amqp_url):
    settings, _ = away
    with Served(settings, port()) as served:
        served.gateway.delivery._box._max = 0
        answer = httpx.post(f"{served.url}/u/{keys.mint(Unsubscribe(MESSAGE, PID, 'newsletter'))}")
    assert answer.status_code == 503
    assert "Poskusite" in answer.text


def port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def dropped(http):
    return float(re.search(r"^preklic_track_dropped_total (\S+)$", http.get("/metrics").text, re.MULTILINE)[1])


def raw(served, text):
    with socket.create_connection(("127.0.0.1", int(served.url.rpartition(":")[2])), timeout=10) as end:
        end.sendall(text.encode())
        end.settimeout(10)
        return end.recv(65536)
