import email
import email.policy
import uuid

import pytest

from preklic_shared import return_paths
from preklic_shared.addresses import parse
from preklic_shared.jobs import SendPayload
from preklic_shared.registry import load_registry
from preklic_shared.tokens import Preference
from preklic_workers.compose import composer as module
from preklic_workers.compose.composer import SHIPPED, Composer, House, NotComposed
from preklic_workers.compose.content import TemplateError
from preklic_workers.compose.templates import Templates
from preklic_workers.permission import Person
from sending import DATA, HOUSE, REGISTRY, RING, composer, send_job

TO = parse("ana@primer.si")
PERSON = Person(id="x" * 43, pid=b"p" * 16)


def composed(purpose, data=None, template=None, **payload):
    job = send_job(purpose, template)
    values = DATA[job.template] if data is None else data
    return composer().compose(job, SendPayload(to=TO.text, data=values, **payload), REGISTRY.get(purpose), PERSON, TO)


def parsed(mail):
    return email.message_from_bytes(mail.raw, policy=email.policy.default)


def test_marketing_says_who_what_and_how_to_stop():
    message = parsed(composed("newsletter", reply_to="pomoc@lucrum.example"))
    assert message["From"] == "LUCRUM novice <novice@lucrum.example>"
    assert message["List-Unsubscribe"].startswith("<https://gateway.lucrum.example/u/")
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert message["Feedback-ID"] == "newsletter:preklic"
    assert message["Reply-To"] == "pomoc@lucrum.example"
    assert "Auto-Submitted" not in message
    text = message.get_body(("plain",)).get_content()
    one_click, by_mail = (way.strip("<>") for way in message["List-Unsubscribe"].split(", "))
    assert one_click in text
    leave = return_paths.check(RING.tokens, by_mail.removeprefix("mailto:").rpartition("@")[0], return_paths.Leave)
    assert leave.message in message["Message-ID"]
    assert message["CFBL-Address"] == "fbl@lucrum.example; report=arf"


def test_a_payment_mail_is_no_list_mail():
    message = parsed(composed("payment"))
    assert message["Auto-Submitted"] == "auto-generated"
    assert not [name for name in message if name.startswith("List-")]
    text = message.get_body(("plain",)).get_content()
    (link,) = [line for line in text.splitlines() if "/p/" in line]
    token = RING.tokens.check(link.rpartition("/")[2], Preference)
    assert token.pid == PERSON.pid


def test_no_address_is_in_a_link():
    raw = composed("newsletter").raw
    assert raw.count(b"ana@primer.si") == 1


@pytest.mark.attack(33, guard="preklic_workers.compose.links:check_link")
def test_a_script_in_a_link_is_refused():
    data = DATA["offer"] | {"url": "javascript:alert(1)"}
    assert composed("offers", data, "offer") == NotComposed("template_error", "link")


@pytest.mark.attack(21, guard="preklic_workers.compose.mime:refuse_controls")
@pytest.mark.parametrize("sign", ["\r\n", "\n", "\0", "\u2028"])
def test_a_control_in_a_subject_is_refused_with_the_field(sign):
    data = DATA["offer"] | {"title": f"Ponudba{sign}Bcc: x@evil.si"}
    assert composed("offers", data, "offer") == NotComposed("bad_content", "Subject")


@pytest.mark.parametrize(
    "address", ["=?utf-8?q?bob=40evil.com=3E=2C?=@x.si", "a@x.si, b@y.si", "a@x.si\r\nBcc: b@y.si"]
)
def test_a_reply_address_is_one_address(address):
    assert composed("payment", reply_to=address) == NotComposed("bad_content", "Reply-To")


def test_bytes_that_are_not_what_was_planned_do_not_leave(monkeypatch):
    monkeypatch.setattr(module, "verify", lambda _mail: "to")
    assert composed("payment") == NotComposed("unverified", "to")


def test_a_confirmation_without_a_pending_grant_is_not_composed():
    assert composed("newsletter", {}, "confirm") == NotComposed("template_error", "confirm_url")


def test_a_registry_and_a_folder_that_disagree_do_not_start(tmp_path):
    with pytest.raises(TemplateError):
        Composer(Templates(tmp_path), load_registry(), RING.tokens, HOUSE)


def test_every_template_of_the_registry_is_there_in_both_languages():
    names = {template.name for template in Templates(SHIPPED)}
    for purpose in REGISTRY.purposes.values():
        for name in purpose.templates:
            assert {name, f"{name}-en"} <= names


def test_own_hosts_are_the_gateway_and_the_mail_domain():
    house = House("https://Gateway.example:8443/", "lucrum.example", hosts=frozenset({"shop.example"}))
    assert house.own_hosts == {"gateway.example", "lucrum.example", "www.lucrum.example", "shop.example"}


def test_the_same_job_has_the_same_message_id():
    first, second = uuid.uuid4(), uuid.uuid4()
    jobs = [send_job("payment", job_id=str(each)) for each in (first, first, second)]
    payload = SendPayload(to=TO.text, data=DATA["payment"])
    mails = [composer().compose(job, payload, REGISTRY.get("payment"), PERSON, TO) for job in jobs]
    names = [parsed(mail)["Message-ID"] for mail in mails]
    assert names[0] == names[1] != names[2]
