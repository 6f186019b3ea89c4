"""Text that follows from HTML, several subjects, and languages that run the other way."""

import email
import email.policy
import json
from copy import copy

import msgspec
import pytest

from preklic_shared.addresses import parse
from preklic_shared.jobs import SendPayload
from preklic_workers.compose.composer import Composer
from preklic_workers.compose.content import TemplateError
from preklic_workers.compose.links import Tracking, link
from preklic_workers.compose.sources import text_of
from preklic_workers.compose.templates import Templates
from preklic_workers.compose.trial import Trial
from sending import HOUSE, REGISTRY, RING, send_job
from unit.test_compose_composer import PERSON, TO
from unit.test_compose_templates import SHIPPED, SURROUNDINGS

LAYOUT = (SHIPPED / "_layout/letter.html.j2").read_text("utf-8")
BODY = """{% extends "_layout/letter.html.j2" %}
{% block letter %}
<h1>{{ title }}</h1>
<p>Pozdravljeni &amp; dober
  dan, <b>{{ title }}</b>! <img src="https://lucrum.example/a.png" alt="Slika &lt;3"></p>
<ul>{% for one in many %}<li>{{ one }}</li>{% endfor %}</ul>
{% if url %}<p><a href="{{ url }}">Več</a> ali <a href="https://lucrum.example/?a=1&amp;b=2">drugo</a>.</p>{% endif %}
<!-- nobody reads <p>this</p> -->
<table><tr><td>Ena</td><td>Dve</td></tr></table>
{% endblock %}
"""


def folder(tmp_path, body=BODY, *, language="sl", subject='subject = "{{ title }}"', name="letter"):
    (tmp_path / "_layout").mkdir()
    (tmp_path / "_layout/letter.html.j2").write_text(LAYOUT, "utf-8")
    place = tmp_path / name
    place.mkdir()
    front = f'purposes = ["newsletter"]\nlanguage = "{language}"\n{subject}\npreheader = "p"\n'
    (place / "template.toml").write_text(front + 'fields = ["title", "many", "url"]\n', "utf-8")
    (place / "body.html.j2").write_text(body, "utf-8")
    return tmp_path


def test_text_follows_from_the_html_with_links_in_full_and_unescaped(tmp_path):
    template = Templates(folder(tmp_path)).get("letter")
    data = {"title": "A < B & C", "many": ["eno", "dve"], "url": "https://lucrum.example/x?c=3&d=4"}
    text = link(template.render(data, SURROUNDINGS), Tracking()).text
    assert "A < B & C" in text
    assert "Pozdravljeni & dober dan, A < B & C! Slika <3" in text
    assert "* eno\n* dve" in text
    assert "Več: https://lucrum.example/x?c=3&d=4 ali drugo: https://lucrum.example/?a=1&b=2." in text
    assert "Ena Dve" in text
    assert f"Odjava od teh sporočil: {SURROUNDINGS['unsubscribe_url']}" in text
    assert "nobody" not in text
    assert "<p>" not in text
    assert "font" not in text
    assert "\n\n\n" not in text


def test_text_without_what_its_conditions_leave_out(tmp_path):
    template = Templates(folder(tmp_path)).get("letter")
    text = template.render({"title": "T", "many": [], "url": ""}, SURROUNDINGS).text
    assert "Več" not in text
    assert "\n\n\n" not in text


def test_a_link_that_ends_without_its_beginning_is_refused():
    with pytest.raises(TemplateError, match="did not begin"):
        text_of("letter", "<p>x</a></p>")


def test_one_of_several_subjects_is_chosen_by_the_variant(tmp_path):
    template = Templates(folder(tmp_path, subject='subjects = ["A {{ title }}", "B {{ title }}"]')).get("letter")
    data = {"title": "T", "many": [], "url": ""}
    chosen = [template.render(data, SURROUNDINGS, variant).subject for variant in (None, 0, 1, 2, 9)]
    assert chosen == ["A T", "A T", "B T", "A T", "B T"]


@pytest.mark.parametrize("subject", ["", 'subject = "a"\nsubjects = ["b"]', "subjects = []", 'subjects = ["{{ x }}"]'])
def test_a_template_has_one_subject_or_several_and_knows_their_fields(tmp_path, subject):
    with pytest.raises(TemplateError):
        Templates(folder(tmp_path, subject=subject))


@pytest.mark.parametrize(
    ("language", "title", "direction"),
    [
        ("ar", "نشرة الخريف الجديدة", "rtl"),
        ("he", "חדשות הסתיו", "rtl"),
        ("sl", "Žlahtna čežana in šopek 🎉🌷", "ltr"),
        ("ja", "秋のお知らせ", "ltr"),
        ("de", "Donaudampfschifffahrtsgesellschaftskapitän" * 12, "ltr"),
    ],
)
def test_every_script_arrives_whole_and_in_its_direction(tmp_path, language, title, direction):
    there = folder(tmp_path, language=language, name="newsletter")
    trial = Trial(there, Templates(there), _only("newsletter"), HOUSE)
    template = trial.templates.get("newsletter")
    mail = trial.mail(template, {"title": title, "many": [title], "url": "https://lucrum.example/č"})
    message = email.message_from_bytes(mail.raw, policy=email.policy.default)
    page = message.get_body(("html",)).get_content()
    assert message["Subject"] == title
    assert f'<html lang="{language}" dir="{direction}"' in page
    assert f">{title}</h1>" in page
    assert title in message.get_body(("plain",)).get_content()
    assert max(map(len, mail.raw.split(b"\r\n"))) <= 998


def _only(key):
    """The registry with this one purpose and one template of it."""
    purpose = msgspec.structs.replace(REGISTRY.get(key), templates=[key], confirm="")
    registry = copy(REGISTRY)
    registry.purposes = {key: purpose}
    return registry


def test_what_is_shipped_has_nothing_that_a_reader_would_miss():
    trial = Trial(SHIPPED, Templates(SHIPPED), REGISTRY, HOUSE)
    assert {one.name: trial.findings(one) for one in trial.templates if trial.findings(one)} == {}
    assert json.loads((SHIPPED / "newsletter/sample.json").read_text("utf-8"))


def test_the_composer_takes_the_subject_of_the_jobs_variant(tmp_path):
    there = folder(tmp_path, subject='subjects = ["A", "B"]', name="newsletter")
    composer = Composer(Templates(there), _only("newsletter"), RING.tokens, HOUSE)
    job = msgspec.structs.replace(send_job("newsletter"), variant=1)
    payload = SendPayload(to=TO.text, data={"title": "T", "many": [], "url": "https://lucrum.example/"})
    mail = composer.compose(job, payload, REGISTRY.get("newsletter"), PERSON, parse(TO.text))
    assert b"\r\nSubject: B\r\n" in mail.raw
