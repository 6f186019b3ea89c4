"""Styles in their elements: what is made of a source at load is what css-inline makes of each mail."""

import json
import re
from functools import lru_cache
from html.parser import HTMLParser

import css_inline
import pytest

from preklic_workers.compose import templates as module
from preklic_workers.compose.content import TemplateError
from preklic_workers.compose.templates import Templates
from unit.test_compose_templates import DATA, SHIPPED, SURROUNDINGS

GUARD = "preklic_workers.compose.inlining:"
INLINER = css_inline.CSSInliner(minify_css=True, keep_at_rules=True, load_remote_stylesheets=False)
EVERYTHING = """
{% extends "_page/page.html.j2" %}
{% block page %}{{ super() }}
<p class="b">{% if word %}<b>{{ word }}</b>{% else %}<i class="b">none</i>{% endif %}</p>
<table>{% for one in many %}<tr class="b"><td style="color:green">{{ one }}</td></tr>{% endfor %}</table>
<p id="only" class="a b">a &amp; č <img src="https://x.example/a.png" alt="5 &gt; 4"><br></p>
{% endblock %}
"""
PAGE = """<!doctype html><html lang="{{ language }}"><head><title>{{ subject }}</title><style>
/* .b { color: black } */
p { margin: 0; color: red !important } .a { color: blue; margin: 1px } .b { font: 12px "Times New Roman" }
p.b > b, td { padding: 2px } #only { color: #123456 } .page p { border: 0 }
@media (prefers-color-scheme: dark) { p { color: white !important } .b:hover { color: grey } }
</style></head><body class="page">{% block page %}<p class="a">first</p>{% endblock %}</body></html>"""


class Seen(HTMLParser):
    """The elements of a page with their attributes, its text, and its style sheet, wherever in the head that stands."""

    def __init__(self, page):
        super().__init__()
        self.all = []
        self.feed(re.sub("(?s)<style>.*?</style>", "", page))
        self.all += [re.sub(r"\s+", "", sheet) for sheet in re.findall("(?s)<style>(.*?)</style>", page)]

    def handle_starttag(self, tag, attributes):
        self.all.append((tag, tuple(sorted(attributes))))

    def handle_endtag(self, tag):
        self.all.append(tag)

    def handle_data(self, data):
        if data.strip():
            self.all.append(re.sub(r"\s+", "", data))


@lru_cache
def loaded(folder, *, inlined=True):
    return Templates(folder)


def both(folder, name, data, monkeypatch):
    """The page as it goes out, and the one that css-inline makes of the mail when nothing was done before."""
    ours = loaded(folder).get(name).render(data, SURROUNDINGS).html
    with monkeypatch.context() as patch:
        patch.setattr(module, "inlined", lambda _environment, _body, sources: sources)
        plain = loaded(folder, inlined=False).get(name).render(data, SURROUNDINGS).html
    assert ours != plain
    # html5ever adds what HTML lets one leave out (tbody): the same parser reads both.
    return Seen(css_inline.CSSInliner(inline_style_tags=False, keep_style_tags=True).inline(ours)), Seen(
        INLINER.inline(plain)
    )


def datasets(name, front):
    yield {field: DATA[field] for field in front.fields}
    for folder in (name, name.removesuffix("-en")):
        if (sample := SHIPPED / folder / "sample.json").is_file():
            yield json.loads(sample.read_text("utf-8"))


@pytest.mark.parametrize("name", sorted(path.parent.name for path in SHIPPED.glob("*/template.toml")))
def test_every_shipped_mail_is_what_css_inline_makes_of_it(name, monkeypatch):
    for data in datasets(name, loaded(SHIPPED).get(name).front):
        ours, theirs = both(SHIPPED, name, data, monkeypatch)
        assert ours.all == theirs.all


def folder(tmp_path, page, body, *, fields='["word", "many"]'):
    for place, file, text in (("_page", "page.html.j2", page), ("letter", "body.html.j2", body)):
        (tmp_path / place).mkdir()
        (tmp_path / place / file).write_text(text, "utf-8")
    (tmp_path / "_page/page.txt.j2").write_text("{% block page %}{% endblock %}", "utf-8")
    front = f'purposes = ["newsletter"]\nlanguage = "en"\nsubject = "s"\npreheader = "p"\nfields = {fields}\n'
    (tmp_path / "letter/template.toml").write_text(front, "utf-8")
    return tmp_path


@pytest.mark.parametrize("data", [{"word": "<w>", "many": ["1", "2"]}, {"word": "", "many": []}])
def test_a_page_with_every_kind_of_rule_is_too(tmp_path, data, monkeypatch):
    ours, theirs = both(folder(tmp_path, PAGE, EVERYTHING), "letter", data, monkeypatch)
    assert ours.all == theirs.all
    assert any("12px" in str(one) for one in ours.all)


@pytest.mark.parametrize(
    ("style", "body", "says"),
    [
        ("p { color: {{ word }} }", "<p>x</p>", "variable"),
        ("p:first-child { color: red }", "<p>x</p>", "selector"),
        ("p + p { color: red }", "<p>x</p>", "selector"),
        ("p ~ p { color: red }", "<p>x</p>", "selector"),
        ("[href] { color: red }", "<p>x</p>", "selector"),
        ("p { color: red }", '<p class="{{ word }}">x</p>', "hang on data"),
        ("p { color: red }", '<p style="width: {{ word }}">x</p>', "hang on data"),
        ("p { color: red }", '<p {% if word %}class="a"{% endif %}>x</p>', "hang on data"),
        ("p { color: red }", '{% if word %}<p class="a">{% else %}<p class="b">{% endif %}x</p>', "half an element"),
        ("p { color: red }", "{% for one in many %}</p><p>{% endfor %}", "half an element"),
        ("p { color: red }", "{% macro m() %}<p>x</p>{% endmacro %}{{ m() }}", "macros"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_what_cannot_be_told_before_there_are_data_is_refused(tmp_path, style, body, says):
    page = f"<html><head><style>{style}</style></head><body>{{% block page %}}{{% endblock %}}</body></html>"
    body = f'{{% extends "_page/page.html.j2" %}}{{% block page %}}{body}{{% endblock %}}'
    with pytest.raises(TemplateError) as error:
        Templates(folder(tmp_path, page, body))
    assert "letter" in error.value.field
    assert says in error.value.field


def test_what_stays_in_the_style_sheet_is_its_at_rules_alone():
    page = loaded(SHIPPED).get("newsletter").render(DATA, SURROUNDINGS).html
    (sheet,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    assert sheet.strip().startswith("@media (prefers-color-scheme: dark)")
    assert "Georgia" not in sheet
    # A style in an element is stronger than a rule: dark mode must say so.
    assert all("!important" in rule for rule in re.findall(r"[\w-]+: #[0-9a-f]{6}[^;]*;", sheet))
    assert "data-mark" not in page
