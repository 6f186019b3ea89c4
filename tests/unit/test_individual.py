"""Individual mail by the rules alone: which fields a template may ask for, and which of them it gets."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preklic_shared.addresses import parse
from preklic_shared.jobs import SendPayload
from preklic_workers import individual as rules
from preklic_workers.compose.composer import SHIPPED, Composer, NotComposed
from preklic_workers.compose.content import TemplateError
from preklic_workers.compose.templates import Templates
from preklic_workers.permission import Permission, Person
from preklic_workers.store.person_docs import reached
from sending import HOUSE, REGISTRY, RING, send_job

NOW = dt.datetime(2026, 11, 27, tzinfo=dt.UTC)
TO = parse("ana@primer.si")
PROPOSALS = REGISTRY.get("proposals")
ALLOWED = ("first_name", "source_topic")
FRONT = """
purposes = ["{purpose}"]
language = "sl"
subject = "s"
preheader = "p"
fields = ["{field}"]
profile = {asked}
"""


def folder(
    tmp_path, *, purpose="proposals", asked='["first_name"]', field="text", body="{{ text }}", name="proposal-x"
):
    """The shipped templates with one more."""
    for path in SHIPPED.rglob("*.*"):
        place = tmp_path / path.relative_to(SHIPPED)
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(path.read_bytes())
    (tmp_path / name).mkdir()
    (tmp_path / name / "template.toml").write_text(FRONT.format(purpose=purpose, field=field, asked=asked), "utf-8")
    (tmp_path / name / "body.txt.j2").write_text(body, "utf-8")
    (tmp_path / name / "body.html.j2").write_text(f"<p>{body}</p>", "utf-8")
    return tmp_path


def composer(*args, **parts):
    return Composer(Templates(folder(*args, **parts)), REGISTRY, RING.tokens, HOUSE)


def test_what_the_purpose_allows_compiles(tmp_path):
    assert composer(tmp_path, body="{% if profile %}{{ profile.first_name }}{% endif %}{{ text }}")


ASKED_BEYOND = pytest.mark.clause("U3", guard="preklic_workers.compose.composer:check_asked")


@pytest.mark.parametrize(
    ("purpose", "asked", "field", "named"),
    [
        pytest.param("proposals", '["employer"]', "text", "employer", marks=ASKED_BEYOND),
        pytest.param("proposals", '["first_name", "iban"]', "text", "iban", marks=ASKED_BEYOND),
        pytest.param("newsletter", '["first_name"]', "text", "first_name", marks=ASKED_BEYOND),
        pytest.param("payment", '["source_topic"]', "text", "source_topic", marks=ASKED_BEYOND),
        # From the job's data an allowed field would outlive the objection.
        pytest.param("proposals", "[]", "first_name", "first_name", marks=ASKED_BEYOND),
        # Another group, or the whole profile as data, is not even a word of the front matter.
        ("proposals", "[]\ncourt = ['case']", "text", "court"),
        ("proposals", "[]", "profile", "profile"),
    ],
)
def test_a_template_that_asks_for_a_field_that_is_not_allowed_does_not_load(tmp_path, purpose, asked, field, named):
    with pytest.raises(TemplateError, match=named):
        composer(tmp_path, purpose=purpose, asked=asked, field=field, body="x")


@pytest.mark.clause("U3", guard="preklic_workers.compose.refusals:_profile_fields")
@pytest.mark.parametrize("use", ["profile.employer", "profile['employer']", "profile[text]", "profile.items()"])
def test_a_body_that_names_a_field_it_did_not_declare_does_not_compile(tmp_path, use):
    with pytest.raises(TemplateError, match=r"undeclared profile\."):
        composer(tmp_path, body=f"{{{{ {use} }}}}")


def test_a_body_without_a_declared_profile_has_none(tmp_path):
    with pytest.raises(TemplateError, match="undeclared profile"):
        composer(tmp_path, asked="[]", body="{{ profile }}")


def test_no_language_leads_to_another_purposes_template(tmp_path):
    made = composer(tmp_path, purpose="proposals", name="offer-x", asked="[]")
    payload = SendPayload(to=TO.text, data={"title": "t", "text": "x", "url": "https://a.si", "language": "x"})
    mail = made.compose(send_job("offers"), payload, REGISTRY.get("offers"), Person(id="x" * 43, pid=b"p" * 16), TO)
    assert mail == NotComposed("template_error", "language")


@pytest.mark.clause("U10", guard="preklic_workers.individual:handed")
@given(st.dictionaries(st.sampled_from([*ALLOWED, "employer", "role", "ip"]), st.text(max_size=5)), st.data())
def test_a_template_gets_what_it_asks_for_and_its_purpose_allows(fields, data):
    asked = data.draw(st.lists(st.sampled_from([*ALLOWED, "employer", "ip"]), unique=True))
    got = rules.handed(fields, asked, PROPOSALS)
    assert set(got) <= {*asked} & {*ALLOWED}
    assert all(got[name] == fields.get(name) for name in got)
    assert bool(got) == bool({*asked} & {*ALLOWED} & {*fields})
    assert rules.handed(fields, asked, REGISTRY.get("newsletter")) == {}


@pytest.mark.clause("U3", guard="preklic_workers.individual:individual")
@pytest.mark.parametrize("state", [None, "granted", "pending", "withdrawn", "objected"])
def test_mail_is_individual_until_the_person_objects(state):
    said = {} if state is None else {"proposals.profiling": Permission(state, NOW, "j", 1)}
    person = Person("p", permissions=said)
    assert rules.individual(person, PROPOSALS) == (state in {None, "granted"})
    assert not rules.individual(person, REGISTRY.get("newsletter"))


def test_a_no_to_individual_mail_reaches_the_mails_that_are_under_way():
    assert reached(["proposals.profiling"]) == ["proposals", "proposals.profiling"]
    assert reached(["newsletter"]) == ["newsletter"]
