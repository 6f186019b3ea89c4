"""The registry as people read it: on the page of the gateway and in the command."""

import ast
import datetime as dt
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from commanding import Commands
from guards import clauses as rows
from preklic_producers.gateway import policy_page
from preklic_producers.gateway.pages import Face
from preklic_shared.clauses import House, entries, explained, facts, find
from preklic_shared.policy_text import clauses_of, digest
from preklic_shared.registry import load_registry
from preklic_shared.settings import Processor

LUCRUM = load_registry()
NOW = Processor(name="Pošta <d.o.o.>", contract="1/2026", country="SI", valid_from="2026-01-01", valid_to="2026-12-31")
PAST = Processor(name="Nekdanji", contract="1/2020", country="SI", valid_from="2020-01-01", valid_to="2025-12-31")
HOUSE = House(LUCRUM, (NOW, PAST), dt.date(2026, 11, 27))
VOID = {"meta"}


class Outline(HTMLParser):
    """Checks that every element is closed in its order; notes what a page is made of."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.ids, self.targets, self.language = [], [], [], [], ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        given = dict(attrs)
        self.ids += [given["id"]] if "id" in given else []
        self.targets += [given["href"]] if "href" in given else []
        if tag == "html":
            self.language = given["lang"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.mark.parametrize("language", ["sl", "en"])
def test_the_page_says_everything_of_every_clause_in_plain_html(language):
    text = policy_page.policy(Face(language, LUCRUM.controller, "https://novice.lucrum.example"), HOUSE)
    page = Outline(text)
    assert page.language == language
    assert {"script", "img", "iframe", "link", "object", "form", "table"}.isdisjoint(page.tags)
    assert (page.tags.count("h1"), page.tags.count("h2"), page.tags.count("h3")) == (1, 2, 20)
    assert sorted(page.ids) == sorted(set(page.ids))
    inside = [target for target in page.targets if target.startswith("#")]
    assert len(inside) == 20
    assert {target[1:] for target in inside} <= set(page.ids)
    assert [target for target in page.targets if target not in inside] == [
        f"?lang={'en' if language == 'sl' else 'sl'}",
        f"https://novice.lucrum.example/policy?lang={language}",
    ]
    for clause in clauses_of(LUCRUM.policy):
        assert clause in text
    for entry in entries(LUCRUM):
        assert entry.does is not None
        for _, words in explained(entry, HOUSE, language):
            assert words.replace("<", "&lt;").replace(">", "&gt;").replace("'", "&#x27;") in text
    assert "Pošta &lt;d.o.o.&gt; (SI" in text
    assert "Nekdanji" not in text


def test_each_purpose_has_its_basis_time_hands_and_way_to_stop_in_both_languages():
    for purpose in LUCRUM.purposes.values():
        for language, labels in (("sl", {"Pravna podlaga", "Kako dolgo", "Kdo"}), ("en", {"Legal basis", "By whom"})):
            told = dict(explained(purpose, HOUSE, language))
            assert labels <= set(told)
            assert all(told.values())
    stops = {key: facts(LUCRUM.purposes[key], HOUSE)["stop"].en[:2] for key in LUCRUM.purposes}
    assert {key for key, said in stops.items() if said == "No"} == {
        key for key, purpose in LUCRUM.purposes.items() if not purpose.revocable
    }


def test_facts_name_processors_under_contract_today_where_an_address_is_handed_over():
    handed = {key for key in LUCRUM.purposes if facts(LUCRUM.purposes[key], HOUSE)["processors"]}
    assert handed == {key for key, purpose in LUCRUM.purposes.items() if purpose.mail} | {"processors"}
    assert facts(LUCRUM.purposes["payment"], HOUSE)["processors"] == [
        {"name": NOW.name, "country": "SI", "until": "2026-12-31"}
    ]
    assert [facts(entry, HOUSE)["sha256"] for entry in entries(LUCRUM)] == [
        digest(text) for text in clauses_of(LUCRUM.policy)
    ]


def test_a_clause_is_found_by_its_id_or_its_key():
    assert [one.clause for one in find(LUCRUM, "u7")] == [one.clause for one in find(LUCRUM, "storage")] == ["U7"]
    assert find(LUCRUM, "U99") == find(LUCRUM, "") == []


def test_the_command_lists_shows_and_says_when_there_is_no_such_clause(monkeypatch, capsys):
    run = Commands(monkeypatch, capsys, {"COLUMNS": "200"})
    code, listed, _ = run("clauses")
    assert (code, len(re.findall(r"^ [PU]\d+ ", listed, re.MULTILINE))) == (0, 20)
    code, told, _ = run("clauses", "U7")
    assert code == 0
    assert "hramba e-poštnega naslova v bazi do preklica;" in told
    assert "Legal basis: your consent" in told
    found = json.loads(run("clauses", "--json")[1])
    assert [one["clause"] for one in found] == [entry.clause for entry in entries(LUCRUM)]
    assert found[9]["policy"]["sl"] == LUCRUM.purposes["storage"].text.sl
    assert run("clauses", "U99")[0] == 2
    assert "does not make a company lawful" in run("clauses", "--help")[1]


def marked():
    """The clauses that tests are marked with: of those with a guard, and of all."""
    with_guard, all_of_them = set(), set()
    for file in Path(__file__).parents[1].rglob("test_*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "clause":
                named = {one.value for one in node.args if isinstance(one, ast.Constant)}
                all_of_them |= named
                with_guard |= named if any(keyword.arg == "guard" for keyword in node.keywords) else set()
    return with_guard, all_of_them


GUARDED, MARKED = marked()


@pytest.mark.parametrize("row", rows())
def test_every_clause_has_a_test_that_fails_without_its_guard(row):
    assert row in GUARDED


def test_no_test_is_marked_with_a_clause_that_the_policy_does_not_have():
    assert set(rows()) >= MARKED
    assert all(len(text) > 10 for text in rows().values())
