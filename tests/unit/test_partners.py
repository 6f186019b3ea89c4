"""Partners' mail (U4): what a template may hold, and that every recipient's link leads to the same bytes."""

import email
import email.policy
import re
import shutil
import tomllib
from dataclasses import replace

import pytest

from preklic_shared.addresses import parse
from preklic_shared.jobs import SendPayload
from preklic_shared.tokens import Click
from preklic_workers.compose.composer import SHIPPED, Composer, House, NotComposed
from preklic_workers.compose.content import TemplateError
from preklic_workers.compose.templates import Templates
from preklic_workers.permission import Permission, Person
from preklic_workers.store import moment
from sending import HOUSE, REGISTRY, RING, composer, send_job

TO = parse("ana@primer.si")
DATA = {"title": "Ponudba", "text": "Besedilo", "partner": "Partner"}
TARGET = "https://partner.example/ponudba"
GUARD = "preklic_workers.compose.partners:"
CLICKS = {"engagement.clicks": Permission("granted", moment(0), "job", 1)}
PLAIN = Person(id="x" * 43, pid=b"p" * 16)
COUNTED = replace(PLAIN, id="y" * 43, pid=b"q" * 16, permissions=CLICKS)


def composed(person=PLAIN, to=TO, made=None, **data):
    job = send_job("partner_offers", "partner")
    payload = SendPayload(to=to.text, data=DATA | data)
    return (made or composer()).compose(job, payload, REGISTRY.get("partner_offers"), person, to)


def links(mail):
    """The links of the HTML part and of the plain text that are no links to ourselves."""
    message = email.message_from_bytes(mail.raw, policy=email.policy.default)
    bodies = [message.get_body((kind,)).get_content() for kind in ("html", "plain")]
    return [re.findall(r"https?://[^\s\"<]+/c/[^\s\"<]+", body) for body in bodies]


def target(url):
    return RING.tokens.check(url.partition("/c/")[2], Click).url


def folder(tmp_path, *, html=None, text=None, front=""):
    """The shipped templates with another partner's mail."""
    copy = tmp_path / "templates"
    shutil.copytree(SHIPPED, copy)
    place = copy / "partner"
    if html is not None:
        (place / "body.html.j2").write_text(
            '{% extends "_layout/letter.html.j2" %}{% block letter %}' + html + "{% endblock %}"
        )
    if text is not None:
        (place / "body.txt.j2").write_text(text)
    (place / "template.toml").write_text((place / "template.toml").read_text() + front)
    return copy


def loaded(tmp_path, house=HOUSE, **parts):
    return Composer(Templates(folder(tmp_path, **parts)), REGISTRY, RING.tokens, house)


@pytest.mark.clause("U4", guard="preklic_workers.compose.links:redirected")
def test_every_link_is_ours_and_leads_everybody_to_the_same_bytes():
    mails = [composed(), composed(replace(PLAIN, pid=b"r" * 16), parse("bor@primer.si")), composed(COUNTED)]
    pages, texts = zip(*map(links, mails), strict=True)
    assert {target(url) for found in (*pages, *texts) for url in found} == {TARGET}
    # Without a permission to count, and in plain text always, the very link is the same.
    assert pages[0] == pages[1] != pages[2]
    assert texts[0] == texts[1] == texts[2]
    assert len(pages[0]) == len(texts[0]) == 1
    for mail in mails:
        hosts = set(re.findall(rb"https?://([^\s/\"<]+)", mail.raw)) - {b"www.w3.org"}
        assert hosts == {b"gateway.lucrum.example"}


@pytest.mark.clause("U4", guard="preklic_workers.compose.links:check_host")
@pytest.mark.attack(35, guard="preklic_workers.compose.links:check_host")
@pytest.mark.parametrize("url", ["https://partner.example/?who=ana", "https://evil.example/", f"{TARGET}?ana"])
def test_data_bring_no_link_of_their_own_into_a_partners_mail(url):
    assert composed(text=f"see {url} soon") == NotComposed("template_error", "foreign_host")


BAD = {
    "a variable in a link": '<a href="https://partner.example/?id={{ text }}">x</a>',
    "a link that is a variable": '<a href="{{ text }}">x</a>',
    "a link that is partly one": '<a href="https://partner.example/{% if text %}x{% endif %}">x</a>',
    "a foreign link": '<a href="https://evil.example/">x</a>',
    "a foreign image": '<img src="https://partner.example/logo.png" alt="">',
    "a partner's image in a link": '<a href="https://partner.example/x"><img src="https://partner.example/y"></a>',
    "a background": '<td background="https://partner.example/x">x</td>',
    "a style": '<p style="background:url(//partner.example/x)">x</p>',
    "an import": "<style>@import 'x.css'</style>",
    "a refresh": '<meta http-equiv="refresh" content="0">',
    "a bare foreign address": "<p>https://evil.example/</p>",
    "a user name before the host": '<a href="https://partner.example@evil.example/">x</a>',
    "a link to our own hosts with a variable": '<a href="https://lucrum.example/{{ text }}">x</a>',
    "punctuation": '<a href="https://partner.example/x.">x</a>',
    "another alphabet": '<a href="https://partner.example/č">x</a>',
}
HIDDEN = ("a style", "an import", "a refresh")


@pytest.mark.clause("U4", guard=GUARD + "is_target")
@pytest.mark.attack(35, guard=GUARD + "is_target")
@pytest.mark.parametrize("html", [html for name, html in BAD.items() if name not in HIDDEN])
def test_a_partners_template_with_any_other_link_does_not_load(tmp_path, html):
    with pytest.raises(TemplateError):
        loaded(tmp_path, html=html)


@pytest.mark.attack(35, guard=GUARD + "_HIDDEN")
@pytest.mark.parametrize("name", HIDDEN)
def test_nor_does_one_that_loads_things_by_other_ways(tmp_path, name):
    with pytest.raises(TemplateError):
        loaded(tmp_path, html=BAD[name])


@pytest.mark.attack(35, guard=GUARD + "is_target")
@pytest.mark.parametrize("text", ["see https://evil.example/x", "see https://partner.example/?id={{ text }}"])
def test_nor_does_one_with_such_a_link_in_its_plain_text(tmp_path, text):
    with pytest.raises(TemplateError):
        loaded(tmp_path, text=text)


def test_own_hosts_and_links_to_ourselves_may_stand_there(tmp_path):
    html = (
        '<a href="https://shop.lucrum.example/x">x</a> <img src="https://lucrum.example/logo.png" alt="">'
        ' <a href="{{ preferences_url }}">x</a> <a href="mailto:pomoc@lucrum.example">x</a>'
        ' <a href="https://partner.example/?a=1&amp;b=2">x</a>'
    )
    house = House(HOUSE.public_url, HOUSE.mail_domain, hosts=frozenset({"shop.lucrum.example"}))
    made = loaded(tmp_path, house, html=html, text="x")
    (found,), _ = links(composed(made=made))
    assert target(found) == "https://partner.example/?a=1&b=2"
    with pytest.raises(TemplateError, match="foreign_host"):
        Composer(Templates(folder(tmp_path / "again", html=html, text="x")), REGISTRY, RING.tokens, HOUSE)


def test_every_language_of_a_partners_mail_is_checked(tmp_path):
    copy = folder(tmp_path)
    (copy / "partner-en" / "body.txt.j2").write_text("https://evil.example/")
    with pytest.raises(TemplateError, match="partner-en"):
        Composer(Templates(copy), REGISTRY, RING.tokens, HOUSE)


def test_the_shipped_ones_name_their_destinations():
    for name in ("partner", "partner-en"):
        front = tomllib.loads((SHIPPED / name / "template.toml").read_text())
        assert front["destinations"] == ["partner.example"]
