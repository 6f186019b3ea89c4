from pathlib import Path

import pytest

import preklic_workers
from preklic_workers.compose.content import Content, TemplateError
from preklic_workers.compose.links import Tracking, link
from preklic_workers.compose.templates import Templates

SHIPPED = Path(preklic_workers.__file__).parent / "templates"
SURROUNDINGS = {
    "company": {"name": "LUCRUM d.o.o.", "address": "Ljubljana"},
    "confirm_url": "https://gateway.example/confirm/t",
    "policy_url": "https://gateway.example/policy",
    "preferences_url": "https://gateway.example/p/t",
    "unsubscribe_url": "https://gateway.example/u/t",
}
DATA = {
    "title": "Novice",
    "intro": "Uvod",
    "text": "Besedilo",
    "url": "https://lucrum.example/x?a=1&b=2",
    "partner": "Partner",
    "articles": [{"title": "Prvi", "summary": "Povzetek", "url": "https://lucrum.example/1"}],
    "invoice": "2026-17",
    "amount": "29,90 €",
    "due": "1. 12. 2026",
}
GUARD = "preklic_workers.compose."


def folder(tmp_path, html="<p>{{ word }}</p>", *, text="{{ word }}", fields='fields = ["word"]', subject="A subject"):
    place = tmp_path / "letter"
    place.mkdir()
    front = f'purposes = ["newsletter"]\nlanguage = "en"\nsubject = "{subject}"\npreheader = "p"\n{fields}\n'
    (place / "template.toml").write_text(front, "utf-8")
    (place / "body.html.j2").write_text(html, "utf-8")
    (place / "body.txt.j2").write_text(text, "utf-8")
    return tmp_path


def rendered(tmp_path, data, html="<p>{{ word }}</p>", **parts):
    template = Templates(folder(tmp_path, html, **parts)).get("letter")
    return link(template.render(data, SURROUNDINGS), Tracking())


@pytest.mark.parametrize("name", sorted(path.parent.name for path in SHIPPED.glob("*/template.toml")))
def test_every_shipped_template_renders_with_its_required_fields_alone(name):
    template = Templates(SHIPPED).get(name)
    content = template.render({field: DATA[field] for field in template.front.fields}, SURROUNDINGS)
    linked = link(content, Tracking())
    assert content.subject
    assert "None" not in content.text + content.html
    assert SURROUNDINGS["policy_url"] in linked.urls
    assert SURROUNDINGS["unsubscribe_url"] in linked.text


def test_slovenian_and_english_come_in_pairs():
    names = {template.name: template.front for template in Templates(SHIPPED)}
    for name, front in names.items():
        if not name.endswith("-en"):
            assert front.language == "sl"
            assert names[f"{name}-en"].language == "en"
            assert names[f"{name}-en"].purposes == front.purposes


@pytest.mark.attack(33, guard=GUARD + "templates:escapes")
@pytest.mark.parametrize("word", ["<script>alert(1)</script>", '"><img src=x>', "'onmouseover='x", "<!--"])
def test_markup_in_data_is_escaped_in_html(tmp_path, word):
    page = rendered(tmp_path, {"word": word}, '<p title="{{ word }}">{{ word }}</p>').html
    assert word not in page
    assert page.count("<") == 2


@pytest.mark.attack(33, guard=GUARD + "templates:Sandbox")
def test_a_template_in_data_stays_text_and_one_in_a_template_is_caged(tmp_path):
    (tmp_path / "a").mkdir()
    assert rendered(tmp_path / "a", {"word": "{{ ''.__class__ }}"}).text == "{{ ''.__class__ }}"
    (tmp_path / "b").mkdir()
    with pytest.raises(TemplateError):
        rendered(tmp_path / "b", {"word": "x"}, "<p>{{ word.__class__.__mro__ }}</p>")


@pytest.mark.attack(33, guard=GUARD + "links:check_link")
@pytest.mark.parametrize(
    "word",
    [
        "javascript:alert(1)",
        "JaVaScript:alert(1)",
        " javascript:alert(1)",
        "java\tscript:alert(1)",
        "java\nscript:alert(1)",
        "data:text/html,x",
        "vbscript:x",
        "file:///etc/passwd",
        "//evil.example/x",
        "/relative",
        "https:/\\evil.example",
        "",
    ],
)
def test_only_web_mail_and_telephone_links_are_let_through(tmp_path, word):
    with pytest.raises(TemplateError) as caught:
        rendered(tmp_path, {"word": word}, '<a href="{{ word }}">x</a>')
    assert caught.value.field == "link"


@pytest.mark.attack(34, guard=GUARD + "templates:missing_field")
def test_a_missing_field_is_named(tmp_path):
    with pytest.raises(TemplateError) as caught:
        rendered(tmp_path, {"other": "secret"})
    assert caught.value.field == "word"
    assert "secret" not in str(caught.value)


@pytest.mark.attack(34, guard=GUARD + "templates:StrictUndefined")
def test_a_name_missing_inside_a_value_is_no_empty_text(tmp_path):
    with pytest.raises(TemplateError):
        rendered(tmp_path, {"word": {"here": 1}}, "<p>{{ word.gone }}</p>")


@pytest.mark.attack(35, guard=GUARD + "links:check_host")
@pytest.mark.parametrize(
    "url",
    [
        "https://partner.example/x",
        "https://own.example.evil.example/",
        "https://own.example@evil.example/",
        "https://own.example:pw@evil.example/",
    ],
)
@pytest.mark.parametrize("tag", ['<a href="{}">x</a>', '<img src="{}" alt="">', '<td background="{}">x</td>'])
def test_a_foreign_host_in_a_partners_mail_is_refused(url, tag):
    content = Content("s", "t", tag.format("https://own.example/x") + tag.format(url))
    with pytest.raises(TemplateError) as caught:
        link(content, Tracking(), frozenset({"own.example"}))
    assert caught.value.field == "foreign_host"


@pytest.mark.attack(35, guard=GUARD + "links:check_host")
def test_a_foreign_host_in_a_partners_plain_text_is_refused():
    with pytest.raises(TemplateError):
        link(Content("s", "see HTTPS://partner.example/x.", "<p>x</p>"), Tracking(), frozenset({"own.example"}))


@pytest.mark.parametrize(
    "html",
    [
        "<a href={{ word }}>x</a>",
        "<a href='{{ word }}'>x</a>",
        '<a href = "{{ word }}">x</a>',
        "<script>x</script>",
        '<p onclick="x">{{ word }}</p>',
        "<p>{{ word|safe }}</p>",
        "{% autoescape false %}{{ word }}{% endautoescape %}",
        "<p>{{ other }}</p>",
        '{% include "letter/body.txt.j2" %}',
        '{% extends "../x" %}',
    ],
)
def test_a_template_that_could_do_harm_does_not_load(tmp_path, html):
    with pytest.raises(TemplateError):
        Templates(folder(tmp_path, html))


@pytest.mark.parametrize("fields", ["fields = 3", 'fields = ["word"]\nmore = 1', "fields = ["])
def test_a_front_matter_that_is_not_understood_does_not_load(tmp_path, fields):
    with pytest.raises(TemplateError):
        Templates(folder(tmp_path, fields=fields))


def test_fields_that_are_not_declared_are_not_there(tmp_path):
    loaded = Templates(
        folder(tmp_path, "<p>{{ word }}{% if more %}!{% endif %}</p>", fields='fields = ["word"]\noptional = ["more"]')
    )
    page = loaded.get("letter").render({"word": "a", "unasked": "b"}, SURROUNDINGS).html
    assert page == "<p>a</p>"


@pytest.mark.clause("U12")
def test_without_tracking_links_are_plain_and_there_is_no_pixel():
    content = Content("s", "t https://lucrum.example/1", '<body><a href="https://lucrum.example/1">x</a></body>')
    linked = link(content, Tracking())
    assert linked.html == content.html
    assert linked.text == content.text
    assert linked.urls == ("https://lucrum.example/1",)


def test_tracking_rewrites_anchors_and_leaves_own_links_images_and_text():
    page = (
        '<body><a class="x" href="https://lucrum.example/?a=1&amp;b=2">x</a><img src="https://lucrum.example/i.png">'
        '<A HREF="https://gateway.example/u/t">out</A><a href="mailto:a@b.si">m</a></body>'
    )
    seen = []

    def click(number, url):
        seen.append((number, url))
        return "https://gateway.example/c/t?x=1&y=2"

    linked = link(
        Content("s", "t", page), Tracking(click, "https://gateway.example/o/t.gif", ("https://gateway.example/",))
    )
    assert seen == [(1, "https://lucrum.example/?a=1&b=2")]
    assert (
        'class="x" href="https://gateway.example/c/t?x=1&amp;y=2">x</a><img src="https://lucrum.example/i.png">'
        in linked.html
    )
    assert 'HREF="https://gateway.example/u/t"' in linked.html
    assert linked.html.endswith('<img src="https://gateway.example/o/t.gif" width="1" height="1" alt="">\n</body>')
    assert linked.urls[-1] == "https://gateway.example/o/t.gif"


def test_a_link_that_no_token_can_carry_stays_as_it_is():
    def click(_number, _url):
        raise ValueError

    content = Content("s", "t", '<a href="https://lucrum.example/č">x</a>')
    assert link(content, Tracking(click)).html == content.html
