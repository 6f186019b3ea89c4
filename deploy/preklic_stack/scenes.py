"""The story of the demo, scene by scene. Each one checks that what it tells is what happened."""

import json
import time
from collections.abc import Callable

from preklic_producers.courier import Receipt
from preklic_producers.drafts import Drafter
from preklic_producers.outbox import Parcel
from preklic_producers.seals import Seals
from preklic_shared.broker import PreklicBroker
from preklic_shared.ids import job_id_for, new_id
from preklic_shared.jobs import Proof
from preklic_shared.publication import Publication
from preklic_shared.registry import load_registry
from preklic_shared.topology import JOBS
from preklic_stack.letters import Letter, visit
from preklic_stack.returning import give_back
from preklic_stack.stage import Stage, Surprise
from preklic_workers import joblog
from preklic_workers.runtime import CLOCK_SKEW_MS

ANA, BORUT, CVETKA = "ana@primer.example", "Borut.Novak@primer.example", "cvetka@čebela.example"
DARKO, EMA, FILIP = "darko@primer.example", "ema@primer.example", "filip@primer.example"
GREGOR, HANA = "gregor@primer.example", "hana@primer.example"
FORM = Proof(wording="novice-2026-1", source="https://lucrum.example/prijava", method="form")
ISSUE = {
    "title": "Novice LUCRUM, november",
    "intro": "Kaj je novega in kaj smo razmišljali ta mesec.",
    "articles": [
        {"title": "Jesen v številkah", "summary": "Kratek pregled.", "url": "https://lucrum.example/jesen"},
        {"title": "O zaupanju", "summary": "Razmislek.", "url": "https://lucrum.example/zaupanje"},
    ],
}
# How far ahead a job's clock may be, in seconds; and how many causes of death the scene makes.
SKEW = CLOCK_SKEW_MS / 1000
DEAD = 2
INVOICE = {"invoice": "2026-117", "amount": "122,00 EUR", "due": "7. 12. 2026", "name": "Gregor"}


def permissions(stage: Stage) -> None:
    """Grants with proof, and one person who took it back."""
    grant = stage.producer.grant
    everything = ["newsletter", "engagement.opens", "engagement.clicks"]
    stage.receipts["ana"] = grant(ANA, everything, proof=FORM, confirmed=True)
    stage.receipts["borut"] = grant(BORUT, ["newsletter", "offers"], proof=FORM, confirmed=True)
    stage.receipts["cvetka"] = grant(CVETKA, "newsletter", proof=FORM)
    stage.receipts["darko"] = grant(DARKO, "offers", proof=FORM, confirmed=True)
    stage.receipts["ema"] = grant(EMA, ["newsletter", "offers"], proof=FORM, confirmed=True)
    for receipt in list(stage.receipts.values()):
        stage.ends(receipt, "applied")
    no = stage.producer.revoke(EMA, "newsletter", reason="asked by telephone")
    stage.ends(no, "applied")
    stage.say("Ana permits the newsletter, and that opens and clicks are counted; Borut the newsletter and offers.")
    stage.say("Cvetka signed up and has not confirmed yet. Darko permits offers alone. Ema took the newsletter back.")
    show_sealed(stage, stage.receipts["ana"].job_id)


def show_sealed(stage: Stage, job: str) -> None:
    """What the broker holds of a grant: a clear header, and a sealed text that only its role can open."""
    logged = list(joblog.entries(stage.home.amqp_url("upkeep")))
    body = next(entry.body for entry in logged if entry.job == job)
    if any(b"ana" in entry.body.lower() and b"primer.example" in entry.body for entry in logged):
        raise Surprise("no address stands in the queue's log")
    fields = json.loads(body)["kwargs"]["job"]
    shown = {name: fields[name] for name in ("id", "producer", "key")} | {"sealed": fields["sealed"][:24] + "..."}
    stage.say(f"What RabbitMQ saw of it: [dim]{json.dumps(shown)}[/]")


def newsletter(stage: Stage) -> None:
    """One issue to everyone; the permission decides when the mail is about to leave."""
    people = {"Ana": ANA, "Borut": BORUT, "Cvetka": CVETKA, "Darko": DARKO, "Ema": EMA, "Filip": FILIP}
    mails = stage.producer.send_many(
        {"to": address, "purpose": "newsletter", "template": "newsletter", "data": ISSUE} for address in people.values()
    )
    sent = dict(zip(people, mails, strict=True))
    stage.receipts |= {f"issue {name}": receipt for name, receipt in sent.items()}
    stage.ends(sent["Ana"], "sent")
    stage.ends(sent["Borut"], "sent")
    stage.ends(sent["Cvetka"], "refused", "pending")
    stage.ends(sent["Darko"], "refused", "no_permission")
    stage.ends(sent["Ema"], "refused", "withdrawn")
    said = ("granted", "granted", "pending", "offers only", "withdrawn", "nothing")
    rows = [(name, word, sent[name]) for name, word in zip(people, said, strict=True)]
    stage.outcomes([row for row in rows if row[0] != "Filip"])
    stage.say("Filip is unknown: his permission may still be on its way, so the job waits 30 s before it is refused.")


def confirmation(stage: Stage) -> None:
    """Double opt-in: only the confirmation goes out, and a click on its page makes it a yes."""
    asked = Receipt(job_id_for("confirmation", f"{stage.receipts['cvetka'].job_id}|newsletter"), "queued")
    stage.ends(asked, "sent")
    (url,) = stage.letter(asked).links("/confirm/")[:1]
    status, _ = visit(url)
    stage.say(f"Cvetka ({CVETKA}) gets the one mail that asks; opening its page ({status}) changes nothing.")
    still = stage.producer.send(CVETKA, "newsletter", "newsletter", ISSUE)
    stage.ends(still, "refused", "pending")
    grants = stage.recorded("grant")
    status, _ = visit(url, {})
    stage.say(f"She presses the button there ({status}).")
    stage.until(lambda: stage.recorded("grant") > grants, "her confirmation is recorded")
    again = stage.producer.send(CVETKA, "newsletter", "newsletter", ISSUE)
    stage.ends(again, "sent")
    stage.say("The newsletter now reaches her: [green]sent[/].")


def payment(stage: Stage) -> None:
    """A payment mail rests on contract: nobody has to be known, and nothing in it is counted."""
    bill = stage.producer.send(GREGOR, "payment", "payment", INVOICE)
    stage.ends(bill, "sent")
    letter = stage.letter(bill)
    if letter.pixel or letter.links("/c/") or letter.one_click:
        raise Surprise("a payment mail has no pixel, no counted link and no list header")
    stage.receipts["bill"] = bill
    stage.say(f'Gregor ordered a service: "{letter.subject}" [green]sent[/], without pixel or counted link.')


def reading(stage: Stage) -> None:
    """Opens and clicks over HTTP, counted only for whoever permits it."""
    ana, borut = stage.letter(stage.receipts["issue Ana"]), stage.letter(stage.receipts["issue Borut"])
    if borut.pixel or borut.links("/c/"):
        raise Surprise("Borut does not permit counting: his links are plain and he has no pixel")
    stage.say(f"Borut's links are plain: {borut.links('lucrum.example')[0]}")
    _open_and_click(stage, ana)
    stage.until(lambda: len(stage.events()) >= 2, "an open and a click are recorded")
    recorded = sorted(f"{event['kind']} ({event['verdict']})" for event in stage.events())
    stage.say(f"Recorded of Ana: {', '.join(recorded)}; no address, no IP, no user agent.")


def _open_and_click(stage: Stage, letter: Letter) -> None:
    link, pixel = letter.links("/c/")[0], letter.pixel
    if pixel is None:
        raise Surprise("Ana permits that opens are counted: her mail has a pixel")
    visit(pixel)
    status, location = visit(link)
    stage.say(f"Ana opens hers, and clicks: {link[:48]}... -> {status} {location}")


def one_click(stage: Stage) -> None:
    """RFC 8058: the mail client posts, and the gate is closed."""
    url = stage.letter(stage.receipts["issue Borut"]).one_click
    if url is None:
        raise Surprise("the newsletter has a List-Unsubscribe header")
    visit(url)
    began = time.monotonic()
    status, _ = visit(url, {"List-Unsubscribe": "One-Click"})
    stage.until(lambda: stage.applied("one_click"), "the withdrawal is applied")
    waited = (time.monotonic() - began) * 1000
    stage.say(f"Borut's mail client posts the one-click address: {status}. Applied {waited:.0f} ms after the click.")
    before = stage.conversations()
    after = stage.producer.send(BORUT, "newsletter", "newsletter", ISSUE)
    stage.ends(after, "refused", "withdrawn")
    if stage.conversations() != before:
        raise Surprise("no relay hears of Borut after his no")
    stage.say("The next issue for him: [yellow]refused (withdrawn)[/], and no SMTP conversation took place.")
    bill = stage.producer.send(BORUT, "payment", "payment", INVOICE | {"invoice": "2026-118", "name": "Borut"})
    stage.ends(bill, "sent")
    stage.say("His invoice still reaches him: a no to newsletters is no no to a contract.")
    stage.console.print(stage.home.command("why", after.job_id).rstrip())


def bounce(stage: Stage) -> None:
    """A mail comes back to its own return path, and nothing that needs a permission goes there again."""
    stage.ends(stage.producer.grant(HANA, "newsletter", proof=FORM, confirmed=True), "applied")
    mail = stage.producer.send(HANA, "newsletter", "newsletter", ISSUE)
    stage.ends(mail, "sent")
    return_path = next(kept["sender"] for kept in stage.sink.mails() if kept["job"] == mail.job_id)
    give_back(stage.home.feedback_port, return_path, HANA)
    stage.until(lambda: stage.state(mail)[0] == "bounced", "Hana's mail is bounced")
    stage.until(lambda: stage.applied("bounce"), "her address is suppressed")
    stage.say(f"Hana's mail comes back to {return_path[:14]}...@{return_path.rpartition('@')[2]}: [red]bounced[/].")
    after = stage.producer.send(HANA, "newsletter", "newsletter", ISSUE)
    stage.ends(after, "refused", "suppressed_bounce")
    stage.say("The next one: [yellow]refused (suppressed_bounce)[/].")


def poison(stage: Stage) -> None:
    """Two jobs that cannot run: one is no job at all, the other comes from a clock that is fast."""
    broker = PreklicBroker(stage.home.site.amqp_url)
    broker.publish(Publication(JOBS, "send.bulk", b'{"options": null, "queue_name": 7', new_id(), "send_bulk"))
    ahead = int((SKEW + 4) * 1000)
    site = stage.home.site
    assert site.sealing_keys is not None
    drafter = Drafter(site.producer, load_registry(), Seals(site.sealing_keys), lambda: time.time_ns() // 10**6 + ahead)
    bill = drafter.send(GREGOR, "payment", "payment", INVOICE | {"invoice": "2026-119"})
    broker.publish(Publication(JOBS, "send.now", bill.body, bill.job, bill.actor))
    broker.close()
    stage.until(lambda: len(_groups(stage)) >= DEAD, "two dead letters", every=1.0)
    for group in _groups(stage):
        stage.say(f"[red]dead[/] {group['queue']}: [bold]{group['reason']}[/], {group['meaning']}")
    time.sleep(max(0.0, bill_time(bill) - time.time() - SKEW))  # meanwhile somebody sets the clock right
    plan = json.loads(stage.home.command("replay", "plan", "--dead", "--json"))
    stage.say(f"A replay plan shows beforehand what would happen: {json.dumps(plan['outcomes'])}")
    done = json.loads(stage.home.command("replay", "run", plan["plan"], "--reason", "clock set right", "--json"))
    stage.say(f"Run once, with a reason: {done['published']} published, {done['skipped']} left where it is.")
    stage.ends(Receipt(bill.job, "queued"), "sent")
    stage.say("The invoice from the fast clock: [green]sent[/]. What is no job stays dead, with its reason.")


def _groups(stage: Stage) -> list[dict[str, str]]:
    groups: list[dict[str, str]] = json.loads(stage.home.command("dead", "groups", "--json"))
    return groups


def bill_time(parcel: Parcel) -> float:
    """When the job says that it was made, in Unix seconds."""
    millis: int = json.loads(parcel.body)["message_timestamp"]
    return millis / 1000


def ending(stage: Stage) -> None:
    """What waited has ended, and every job of the log is somewhere."""
    stage.ends(stage.receipts["issue Filip"], "refused", "unknown", seconds=60)
    stage.say("Filip's mail: [yellow]refused (unknown)[/]. Nobody of that address ever said yes.")


def proof(stage: Stage) -> None:
    """What happened is in the ledger, and a bundle of evidence is believed without this software."""
    system, bundle = stage.home.system, stage.home.system.folder / "bill.zip"
    system.run("ledger", "checkpoint", "--now", role="ledger")
    found: dict[str, int] = json.loads(system.run("ledger", "verify", "--json", role="ledger"))
    stage.say(f"preklic ledger verify: [green]{found['leaves']} records[/] are as they were signed.")
    asked = ("--message", stage.receipts["bill"].job_id, "--out", str(bundle), "--reason", "the demo", "--json")
    shown: dict[str, int] = json.loads(system.run("evidence", "export", *asked, role="upkeep", keys=system.keys))
    stage.say(
        f"Evidence about Gregor's bill: {shown['records']} record, {bundle.stat().st_size} octets, its own verify.py."
    )
    key = (system.keys / "producers" / "ledger.pub").read_text("ascii")
    said = system.run("evidence", "verify", str(bundle), "--key", key)
    stage.say(f"preklic evidence verify: {said.strip().splitlines()[-1]}")


SCENES: tuple[tuple[str, Callable[[Stage], None]], ...] = (
    ("Permissions, each with its proof, sealed before they leave the website", permissions),
    ("A newsletter: to those who permit it, and not to those who do not", newsletter),
    ("Double opt-in", confirmation),
    ("A payment mail", payment),
    ("An open and a click", reading),
    ("One-click withdrawal, and the mail after it", one_click),
    ("A mail that comes back", bounce),
    ("Jobs that die, and a replay that cannot hurt", poison),
    ("Evidence that is believed without this software", proof),
    ("The account", ending),
)
