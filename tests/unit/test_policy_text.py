"""The policy's own text and the registry say the same, letter by letter, or nothing starts."""

import doctest
import shutil

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from preklic_shared import policy_text
from preklic_shared.policy_text import Entry, clauses_of, digest, mismatch
from preklic_shared.registry import DEFAULT, RegistryError, load_registry

LUCRUM = load_registry()
GUARD = "preklic_shared.registry:check_policy"
IDS = ["P1", "P2", "P3", *(f"U{n}" for n in range(1, 18))]
ENTRIES = [
    *(Entry(f"promises.{one.clause}.text.sl", one.clause, one.text.sl) for one in LUCRUM.promises),
    *(Entry(f"purposes.{one.key}.text.sl", one.clause, one.text.sl) for one in LUCRUM.purposes.values()),
]


def test_the_policy_has_twenty_clauses_and_the_registry_has_each_once():
    assert [digest(text) for text in clauses_of(LUCRUM.policy)] == [digest(entry.text) for entry in ENTRIES]
    assert [entry.clause for entry in ENTRIES] == IDS
    assert mismatch(LUCRUM.policy, ENTRIES) is None
    assert doctest.testmod(policy_text).failed == 0


def spoiled(text, place, letter, how):
    """`text` with one letter put in, taken out or replaced."""
    return text[:place] + {"in": letter, "out": "", "other": letter}[how] + text[place + (how != "in") :]


letters = st.characters(exclude_categories=("Cs",)) | st.sampled_from("aš.,:;\u2013-(\n ")
clauses = st.sampled_from(range(20))
changes = st.sampled_from(["in", "out", "other"])


@given(clauses, st.data(), letters, changes)
def test_any_letter_changed_in_a_clause_of_the_registry_is_found_and_the_clause_named(number, data, letter, how):
    entry = ENTRIES[number]
    text = spoiled(entry.text, data.draw(st.integers(0, len(entry.text) - 1)), letter, how)
    assume(digest(text) != digest(entry.text))
    found = mismatch(LUCRUM.policy, [*ENTRIES[:number], Entry(entry.key, entry.clause, text), *ENTRIES[number + 1 :]])
    # An umbrella's own words gone leave the policy's clause without an entry; the entry may be a purpose of its own.
    assert found is not None
    assert found.key in {entry.key, "policy"}
    assert found.key == "policy" or entry.clause in found.problem


@given(clauses, st.data(), letters, changes)
@example(0, None, ":", "other")
def test_any_letter_changed_in_a_clause_of_the_policy_is_found(number, data, letter, how):
    clause = clauses_of(LUCRUM.policy)[number]
    place = len(clause) - 1 if data is None else data.draw(st.integers(0, len(clause) - 1))
    text = spoiled(clause, place, letter, how)
    assume(digest(text) != digest(clause))
    # A line end in a bullet is a blank, and a new sign of a bullet before one changes nothing of what it says.
    policy = LUCRUM.policy.replace(clause, text)
    assume([digest(one) for one in clauses_of(policy)] != [digest(entry.text) for entry in ENTRIES])
    assert mismatch(policy, ENTRIES) is not None


@pytest.fixture
def registry_file(tmp_path):
    folder = tmp_path / "registry"
    shutil.copytree(DEFAULT.parent, folder)
    return folder / DEFAULT.name


def refused(file):
    with pytest.raises(RegistryError) as caught:
        load_registry(file)
    return caught.value


def edit(file, old, new):
    text = file.read_text("utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), "utf-8")


@pytest.mark.clause("P2", guard=GUARD)
@pytest.mark.parametrize("where", ["registry", "policy"])
@pytest.mark.parametrize(
    ("old", "new", "clause"),
    [
        ("rednih novičk", "rednih novic", "U2"),
        ("hramba e-poštnega naslova v bazi do preklica;", "hramba e-poštnega naslova v bazi;", "U7"),
        ("ne bo prodajalo, posojalo", "ne bo prodajalo in posojalo", "P1"),
        ("(ali jih je imetnik prejel)", "(ali jih je imetnik prejeI)", "U11"),
    ],
)
def test_a_word_changed_in_either_place_stops_the_start_and_names_the_clause(registry_file, where, old, new, clause):
    edit(registry_file if where == "registry" else registry_file.with_name("lucrum.sl.txt"), old, new)
    fault = refused(registry_file)
    assert clause in str(fault)
    assert fault.key.endswith(".text.sl")


@pytest.mark.clause("P2", guard=GUARD)
def test_a_clause_that_is_missing_invented_or_there_twice_stops_the_start(registry_file):
    policy = registry_file.with_name("lucrum.sl.txt")
    whole, text = policy.read_text("utf-8"), registry_file.read_text("utf-8")
    policy.write_text(f"{whole}\n\n- prodaja e-poštnega naslova;", "utf-8")
    assert "prodaja e-poštnega naslova" in str(refused(registry_file))
    policy.write_text(whole, "utf-8")
    begin, end = text.index('[[purposes]]\nkey = "disclosure"'), text.index('[[purposes]]\nkey = "joining"')
    registry_file.write_text(text[:begin] + text[end:], "utf-8")
    assert "tretjim osebam" in str(refused(registry_file))
    further = text[begin:end].replace('"disclosure"', '"selling"')
    registry_file.write_text(f"{text}\n{further}", "utf-8")
    assert refused(registry_file).key == "purposes.selling.text.sl"
    further = further.replace('sl = "posredovanje', 'sl = "prodaja')
    registry_file.write_text(f"{text}\n{further}", "utf-8")
    assert "U9 is not in the policy" in str(refused(registry_file))


OTHER = """
version = 1
controller = "Primer d.o.o."
policy = "policy.en.txt"

[[promises]]
clause = "P1"
text = { sl = "Ne prodajamo.", en = "We never sell." }

[[purposes]]
key = "news"
clause = "U1"
basis = "consent"
mail = true
revocable = true
groups = ["contact"]
templates = ["offer"]
retry = "marketing"
retention_days = 30
list_id = "novice.primer.example"
sender = { name = "Primer", address = "novice@primer.example" }
title = { sl = "Novice", en = "News" }
text = { sl = "novice", en = "news of what Primer d.o.o. does;" }
"""


def test_another_controllers_registry_has_its_own_policy_in_its_own_language(tmp_path):
    file = tmp_path / "primer.toml"
    file.write_text(OTHER, "utf-8")
    policy = tmp_path / "policy.en.txt"
    policy.write_text("We never sell.\n\nWe use your address for:\n\n* news of what Primer\n  d.o.o. does;\n", "utf-8")
    assert load_registry(file).controller == "Primer d.o.o."
    policy.write_text("We never sell. We share.\n\n* news of what Primer d.o.o. does;\n", "utf-8")
    assert refused(file).key == "policy"
    policy.write_text("We ever sell.\n\n* news of what Primer d.o.o. does;\n", "utf-8")
    assert "P1" in str(refused(file))
