"""A canary goes through the whole of Preklic, and is found in the mailbox alone (clause P1, attack 67).

Servers of its own, so that all that they leave on their disks can be read. What is planted is found in each kind of
place; what a foreign program published unsealed stays where it put it, in broker and dead letters, and goes no further.
"""

import base64
import hashlib
import json
import os
import resource
import signal
import smtplib
import socket
import subprocess
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.request import urlopen

import httpx
import msgspec
import pytest
from pymongo import MongoClient

import bounced
import unguarded
from canary import Canary, Places, dropped
from hearing import receiving, secret_file
from preklic_producers import Producer, Proof
from preklic_producers.outbox import Outbox, Parcel
from preklic_producers.seals import Seals
from preklic_shared import wire
from preklic_shared.broker import PreklicBroker
from preklic_shared.ids import new_id
from preklic_shared.publication import Publication
from preklic_shared.topology import JOBS
from preklic_shared.webhooks_out import EVENTS
from preklic_stack import system
from preklic_stack.household import household
from preklic_stack.letters import letters
from preklic_stack.mongo import start_mongo
from preklic_stack.programs import Missing
from preklic_stack.rabbit import start_rabbit
from preklic_stack.stack import Stack
from sending import send_job
from waiting import until

SECRET = "secret-of-the-shop"
SETTINGS = f"""\
trusted_proxies = ["127.0.0.1"]
{system.SETTINGS}
[[tokens]]
name = "shop"
hash = "{hashlib.sha256(SECRET.encode()).hexdigest()}"
scopes = ["messages", "consents", "profiles", "events", "customers", "status"]

[[webhooks_out]]
name = "canary"
url = "@url@/"
secret_file = "@secret@"
events = {json.dumps(list(EVENTS))}
"""
# What this story lets happen, as the endpoint must hear of it.
TOLD = {f"message.{state}" for state in ("sent", "bounced", "dead")}
TOLD |= {"permission.granted", "permission.withdrawn"}
# What is compressed on a disk could not be searched there.
PLAIN = ("--wiredTigerCollectionBlockCompressor", "none", "--wiredTigerJournalCompressor", "none")
DATABASE = "preklic"
KEPT = {"broker files", "database files", "documents of the store", "oplog"}
KINDS = {
    "log",
    "metrics",
    "command output",
    "http answer",
    "webhook",
    "process listing",
    "outbox",
    "documents of the keys",
    *KEPT,
}


class Wrong(msgspec.Struct):
    """What seals well, and is no payload: a field too many."""

    to: str
    name: str


class Run:
    """One canary on its way through a running house."""

    def __init__(self, home, sink, canary, places):
        self.home, self.sink, self.canary, self.places = home, sink, canary, places
        self.mongo = MongoClient(home.system.mongo.url)
        self.store = self.mongo[DATABASE]
        headers = {"x-forwarded-for": canary.ip, "user-agent": canary.agent, "authorization": f"Bearer {SECRET}"}
        self.http = httpx.Client(base_url=home.gateway_url, headers=headers, timeout=20)

    def close(self):
        self.mongo.close()
        self.http.close()

    def ends(self, receipt, state):
        def found():
            return (self.store["messages"].find_one({"_id": receipt.job_id}) or {}).get("state")

        until(lambda: found() == state, 30, f"{receipt.job_id} is {state}")

    def ask(self, method, path, **how):
        answer = self.http.request(method, path, **how)
        said = json.dumps(dict(answer.headers)).encode() + answer.content
        self.places.add("http answer", path, said)
        return answer

    def tell(self, *arguments, given=None, listed=False):
        """Run `preklic ...` and keep what it says; with `listed`, a process listing while it waits for its input."""
        process = subprocess.Popen(
            [*system.PREKLIC, *arguments],
            env=self.home.system.environment("upkeep"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        if listed:
            self.places.add_processes([*self.home.system.children.left(), process.pid])
        said, _ = process.communicate(None if given is None else given.encode(), timeout=60)
        self.places.add("command output", " ".join(arguments), said)
        return said.decode()


@pytest.mark.timeout(240)
@pytest.mark.clause("P1", guard="preklic_shared.sealing:AESGCM")
@pytest.mark.attack(67, guard="preklic_shared.sealing:AESGCM")
def test_a_canary_is_found_in_the_mailbox_alone(processes, run_dir, sink, monkeypatch):
    canary, planted, foreign, places = Canary(), Canary(), Canary(), Places()
    folder = Path(tempfile.mkdtemp(prefix="canary-", dir=run_dir))
    rabbit, mongo = servers(processes, folder)
    secret, _ = secret_file(folder, "canary")
    if "GUARDS_OFF" in os.environ:
        monkeypatch.setattr(system, "PREKLIC", (sys.executable, unguarded.__file__))
    monkeypatch.chdir(empty(folder / "cores"))
    stack = Stack(folder, processes, rabbit, mongo, sink)
    with may_leave_cores(), leaky_metrics(planted) as leaky, receiving() as endpoint, ExitStack() as rest:
        settings = SETTINGS.replace("@url@", endpoint.url).replace("@secret@", str(secret))
        monkeypatch.setattr(system, "SETTINGS", settings)
        home = rest.enter_context(household(stack, database=DATABASE))
        run = Run(home, sink, canary, places)
        try:
            with Producer(home.site) as producer:
                plant(run, planted)
                dead = story(run, producer, foreign)
            look(run, dead)
            read_metrics(home, places, leaky)
            until(lambda: {one.told["type"] for one in endpoint.heard} >= TOLD, 30, "the webhooks")
            read_webhooks(endpoint, home, places)
            rabbit.kill()
            while_the_broker_is_away(run, folder)
            mailbox = b"".join(mail["raw"] for mail in sink.mails())
            run.mongo.admin.command("fsync")
            places.add_databases(mongo.url, DATABASE)
        finally:
            run.close()
        assert crashed(home.processes) == []
        mongo.members[0].kill()
    assert list((folder / "cores").iterdir()) == []
    read_files(places, home, rabbit, folder)
    said = [f"{kind}: {len(found)} things, {places.size(kind)} octets" for kind, found in places.found.items()]
    sys.stdout.write("\n".join([*said, ""]))
    leaks = Counter(tuple(hit.rsplit(": ", 1)) for hit in places.hits(canary.needles()))
    assert leaks == {}
    assert canary.needles().hits(mailbox)
    assert {hit.partition(":")[0] for hit in places.hits(foreign.needles())} == KEPT
    # Each kind of place is there, and a leak in it would have been seen.
    assert {kind for kind in KINDS if places.size(kind) < 100} == set()
    assert KINDS - {hit.partition(":")[0] for hit in places.hits(planted.needles())} == {"broker files"}


# The house.


def servers(processes, folder):
    """A broker and a database of this test's own."""
    try:
        with ThreadPoolExecutor(2) as pool:
            rabbit = pool.submit(start_rabbit, processes, folder / "rabbit")
            mongo = pool.submit(start_mongo, processes, folder / "mongo", options=PLAIN)
        pair = rabbit.result(), mongo.result()
    except Missing as missing:
        if os.environ.get("CI", "").lower() == "true":
            raise
        pytest.skip(str(missing))
    if pair[0].child is None or not pair[1].members:
        pytest.skip("what servers that were given leave on their disks cannot be read")
    return pair


def empty(folder):
    folder.mkdir(parents=True)
    return folder


@contextmanager
def may_leave_cores():
    """What is started meanwhile may leave a core, if it does nothing against it."""
    before = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (before[1], before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, before)


@contextmanager
def leaky_metrics(planted):
    """A page of metrics with the planted canary in a label; its URL."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(f'preklic_jobs_total{{reason="{planted.address}"}} 1\n'.encode())

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


# What happens.


def story(run, producer, foreign):
    """Grant, enrich, mails, a bounce, a tier, open, click, one-click, poison; the ids of jobs that died."""
    canary, sink = run.canary, run.sink
    proof = Proof(
        wording="v1",
        source=f"https://{canary.word}.example/?ip={canary.ip}",
        method="form",
        note=f"{canary.first_name} {canary.last_name}",
    )
    kinds = ["newsletter", "offers", "proposals", "engagement.opens", "engagement.clicks"]
    grants = [
        producer.grant(canary.address, kinds, proof=proof, ref=f"customer-{canary.word}", confirmed=True),
        producer.grant(canary.other, kinds, proof=proof, confirmed=True),
    ]
    for each in grants:
        run.ends(each, "applied")
    known = {"first_name": canary.first_name, "last_name": canary.last_name, "ip": canary.ip}
    for group in ("profile", "service", "payments"):
        run.ends(producer.enrich(canary.address, group, known, source=f"form {canary.word}"), "applied")
    issue = {
        "title": f"Novice za {canary.last_name}",
        "intro": canary.first_name,
        "first_name": canary.first_name,
        "articles": [{"title": canary.agent, "summary": canary.ip, "url": "https://lucrum.example/1"}],
    }
    bill = {"invoice": canary.word, "amount": "1 EUR", "due": "1. 1. 2030", "name": canary.last_name}
    news = producer.send(canary.address, "newsletter", "newsletter", issue)
    for each in (news, producer.send(canary.address, "payment", "payment", bill)):
        run.ends(each, "sent")
    read(run, next(letter for letter in letters(sink) if letter.job == news.job_id))
    offer = {"title": canary.first_name, "text": canary.last_name, "url": "https://lucrum.example/2"}
    sink.mode("refuse_rcpt", code=451, times=1)
    run.ends(producer.send(canary.address, "offers", "offer", offer), "deferred")
    sink.mode("refuse_rcpt", code=550, times=1)
    run.ends(producer.send(canary.other, "newsletter", "newsletter", issue), "bounced")
    sink.mode("accept")
    poison = [producer.send(canary.address, "newsletter", "newsletter", {"title": canary.first_name}).job_id]
    poison += malformed(run, foreign)
    until(lambda: run.store["dead"].count_documents({}) == len(poison), 30, "the dead letters")
    returned(run)
    refused(run)
    stop(run, producer, next(letter for letter in letters(sink) if letter.job == news.job_id))
    return poison


def returned(run):
    """What strangers' servers send back: a delay that names the person, and something that nobody understands."""
    canary, mail = run.canary, run.sink.mails()[0]
    told = bounced.dsn("delayed", "4.4.1", f"smtp; 450 <{canary.address}>", head=f"X-Name: {canary.first_name}\r\n")
    nonsense = f"From: {canary.address}\r\nSubject: {canary.word}\r\n\r\n{canary.last_name}\r\n".encode()
    with smtplib.SMTP("127.0.0.1", run.home.feedback_port, timeout=20) as relay:
        for raw in (told, nonsense):
            relay.sendmail(canary.other, [mail["sender"]], raw)
    until(lambda: run.store["events"].count_documents({"kind": "deferred"}) == 1, 30, "what came back")
    aside = {"reason": "smtp_not_understood"}
    until(lambda: run.store["dead"].count_documents(aside) == 1, 30, "what nobody understands")


def read(run, letter):
    """Open and click, as the person's program does: with an address and a name of its own."""
    assert run.ask("GET", letter.pixel).status_code == 200
    assert run.ask("GET", letter.links("/c/")[0]).status_code == 302
    until(lambda: run.store["events"].count_documents({}) == 2, 30, "an open and a click")


def stop(run, producer, letter):
    """One-click, the preference centre, and a withdrawal by the website."""
    assert run.ask("GET", letter.one_click).status_code == 200
    assert run.ask("POST", letter.one_click, data={"List-Unsubscribe": run.canary.address}).status_code == 200
    centre = next(iter(letter.links("/p/")), None)
    if centre is not None:
        assert run.ask("GET", centre).status_code == 200
        assert run.ask("POST", centre, data={"stop": "offers"}).status_code == 200
    run.ends(producer.revoke(run.canary.other, "all", reason="asked by telephone"), "applied")
    until(lambda: run.store["withdrawals"].count_documents({"applied": {"$exists": True}}) >= 2, 30, "applied")


def malformed(run, foreign):
    """What seals well and is no payload; and what a foreign program published unsealed."""
    site, canary = run.home.site, run.canary
    job = msgspec.structs.replace(send_job(), producer=site.producer, key="")
    seals = Seals(site.sealing_keys, bytes.fromhex(site.sealing_pin))
    sealed = seals.sealed(job, "send.bulk", Wrong(canary.address, canary.first_name))
    bare = json.loads(wire.encode(send_job(), "send_bulk"))
    bare["kwargs"]["job"] |= {"to": foreign.address, "name": foreign.last_name, "producer": foreign.address}
    broker = PreklicBroker(site.amqp_url)
    broker.publish(Publication(JOBS, "send.bulk", wire.encode(sealed, "send_bulk"), sealed.id, "send_bulk"))
    broker.publish(Publication(JOBS, "send.bulk", json.dumps(bare).encode(), bare["message_id"], "send_bulk"))
    broker.close()
    return [sealed.id, bare["message_id"]]


def refused(run):
    """What the gateway does not take, and paths that somebody put an address into."""
    canary = run.canary
    mail = {"to": canary.address, "purpose": "newsletter", "template": "newsletter", "data": {"title": "t"}}
    for body in (
        mail | {"to": f"{canary.address}, b@x.si"},
        mail | {"unheard": canary.address},
        mail | {"reply_to": canary.ip},
    ):
        assert run.ask("POST", "/v1/messages", json=body).status_code == 422
    assert run.ask("POST", "/v1/messages", content=f'{{"to": "{canary.address}"').status_code == 400
    assert run.ask("POST", "/v1/customers/check", json={"address": canary.address}).json()["data"]["existing"] is True
    for path in (f"/{canary.other}", f"/u/{canary.other}", f"/o/{canary.other}.gif", f"/policy?for={canary.other}"):
        run.ask("GET", path)
    for path in (f"/p/{canary.other}", f"/confirm/{canary.other}"):
        run.ask("POST", path, data={"stop": canary.address})
    with socket.create_connection(("127.0.0.1", run.http.base_url.port)) as raw:
        raw.sendall(f"GET {canary.other}\r\n{canary.ip}\0\r\n\r\n".encode())
        run.places.add("http answer", "no HTTP", raw.recv(4096))
    assert run.ask("GET", f"/c/https://{canary.word}.example/").headers["location"] == f"{run.home.gateway_url}/"


def look(run, dead):
    """What responders run, side by side, with a process listing while one of them holds the address."""
    said = [
        *(["dead", "list", "--json"], ["queues", "--json"], ["account", "--json", "--patience", "0"]),
        *(["replay", "plan", "--dead", "--json"], ["why", dead[0]]),
        *(["dead", "show", job, "--json"] for job in dead[1:]),
    ]
    with ThreadPoolExecutor(3) as pool:
        shown = pool.submit(run.tell, "subject", "show", "-", "--json", given=f"{run.canary.address}\n", listed=True)
        list(pool.map(lambda arguments: run.tell(*arguments), said))
    assert json.loads(shown.result())["permissions"]


def read_webhooks(endpoint, home, places):
    """What endpoints received: headers and bodies."""
    for one in endpoint.heard:
        places.add("webhook", one.told["type"], json.dumps(one.headers).encode() + one.body)
    with urlopen(home.hooks_url, timeout=10) as answer:
        places.add("webhook", "the household's", answer.read())


def read_metrics(home, places, leaky):
    for url in (*(f"http://127.0.0.1:{port}" for port in home.health.values()), leaky):
        with urlopen(f"{url}/metrics", timeout=10) as answer:
            places.add("metrics", url, answer.read())


def while_the_broker_is_away(run, folder):
    """Withdrawals, grants and mails wait in the outboxes of the gateway and of a website."""
    canary = run.canary
    site = msgspec.structs.replace(run.home.site, outbox=folder / "site.outbox")
    with ThreadPoolExecutor(1) as pool, Producer(site) as producer:
        proof = Proof(wording="v2", source=canary.word, method="paper", note=canary.last_name)
        stored = pool.submit(producer.grant, canary.address, "newsletter", proof=proof)
        body = {"person": canary.address, "reason": "asked by telephone"}
        assert run.ask("POST", "/v1/consents/withdraw", json=body).json()["data"]["status"] == "stored"
        mail = {"to": canary.other, "purpose": "payment", "template": "payment", "data": {"name": canary.last_name}}
        assert run.ask("POST", "/v1/messages", json=mail).json()["data"]["status"] == "stored"
        assert stored.result().status == "stored"


# What is planted, and what is left.


def plant(run, planted):
    """A leak in each kind of place, but those that `leaky_metrics` and `malformed` make."""
    children, folder = run.home.system.children, run.home.system.folder
    code = f"import sys, time; sys.stderr.write({planted.address!r}); sys.stderr.flush(); time.sleep(600)"
    children.start("leaky", [sys.executable, "-c", code], log=folder / "log" / "leaky.log")
    for database in (DATABASE, f"{DATABASE}_keys"):
        run.mongo[database]["planted"].insert_one({"address": planted.address.encode()})
    box = Outbox(folder / "planted.outbox")
    box.put([Parcel(new_id(), "track", planted.other.encode())])
    box.close()
    run.tell(planted.word)
    run.places.add("http answer", "planted", base64.b64encode(b"x" + planted.address.encode()))
    run.places.add("webhook", "planted", json.dumps({"person": planted.address}).encode())


def crashed(processes):
    """Let them all crash at once; the pids of those that left a core."""
    for child in processes:
        child.signal(signal.SIGABRT)
    return dropped([child.pid for child in processes])


def read_files(places, home, rabbit, folder):
    place = Path(rabbit.environment["RABBITMQ_MNESIA_BASE"]).parent
    if rabbit.programs.root is not None:
        place = rabbit.programs.root / place.relative_to("/")
    places.add_files("broker files", *{place, folder / "rabbit"})
    places.add_files("database files", folder / "mongo")
    places.add_files("log", home.system.folder / "log")
    boxes = [*folder.glob("*.outbox*"), *home.system.folder.glob("*.outbox*")]
    places.add_files("outbox", *boxes)
    places.add_files("settings and keys", home.system.folder, skip=lambda path: path in boxes or path.suffix == ".log")
