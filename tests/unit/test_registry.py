import datetime as dt
import hashlib
import shutil
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preklic_shared import wordings
from preklic_shared.registry import DEFAULT, Registry, RegistryError, load_registry
from preklic_workers.backoff import TABLES

LUCRUM = load_registry()
GUARD = "preklic_shared.registry:"
FURTHER = """
[[purposes]]
key = "survey"
clause = "{clause}"
basis = "{basis}"
mail = false
revocable = true
groups = []
retention_days = 30
title = {{ sl = "Anketa", en = "Survey" }}
text = {{ sl = "anketa", en = "a survey" }}
{record}
"""


@pytest.fixture
def registry_file(tmp_path):
    folder = tmp_path / "registry"
    shutil.copytree(DEFAULT.parent, folder)
    return folder / DEFAULT.name


def fault(file):
    with pytest.raises(RegistryError) as caught:
        load_registry(file)
    assert caught.value.key in str(caught.value)
    return caught.value.key


def edit(file, old, new):
    text = file.read_text("utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), "utf-8")
    return file


def test_all_promises_and_all_seventeen_uses_are_there_in_the_policys_own_words():
    assert [promise.clause for promise in LUCRUM.promises] == ["P1", "P2", "P3"]
    assert [purpose.clause for purpose in LUCRUM.purposes.values()] == [f"U{n}" for n in range(1, 18)]
    for text in [p.text for p in LUCRUM.promises] + [p.text for p in LUCRUM.purposes.values()]:
        assert text.sl in LUCRUM.policy
        assert text.en


def test_only_the_first_five_uses_are_mails():
    mails = {key for key, purpose in LUCRUM.purposes.items() if purpose.mail}
    assert mails == {"offers", "newsletter", "proposals", "partner_offers", "payment"}
    assert LUCRUM.marketing == mails - {"payment"}


def test_payment_is_on_contract_untracked_and_may_repeat():
    payment = LUCRUM.purposes["payment"]
    assert (payment.basis, payment.tracking, payment.in_doubt) == ("contract", False, "once_more")
    assert (payment.revocable, payment.lane) == (False, "now")
    assert all(LUCRUM.purposes[key].in_doubt == "never" for key in LUCRUM.marketing)


def test_every_retry_table_exists():
    assert {p.retry for p in LUCRUM.purposes.values()} - {"none"} <= set(TABLES)


@pytest.mark.clause("U16", guard=GUARD + "Registry.for_mail")
@given(st.text(max_size=20), st.sampled_from(sorted(LUCRUM.purposes)), st.text(max_size=10))
def test_a_mail_may_name_registered_mail_purposes_with_their_own_templates_only(key, known, template):
    allowed = {(p.key, t) for p in LUCRUM.purposes.values() if p.mail for t in p.templates}
    for pair in ((key, template), (known, template), (known, "payment"), (known, "newsletter")):
        assert (LUCRUM.for_mail(*pair) is not None) == (pair in allowed)


RAW = {entry["key"]: entry["groups"] for entry in tomllib.loads(DEFAULT.read_text("utf-8"))["purposes"]}
GROUPS = ["contact", "profile", "service", "payments", "recovery", "court", "evidence", "other", ""]


@pytest.mark.clause("P2", guard=GUARD + "Registry.may_open")
@given(st.sampled_from(GROUPS), st.sampled_from([*RAW, "unregistered", ""]))
def test_a_field_group_opens_for_a_purpose_exactly_as_the_table_says(group, key):
    assert LUCRUM.may_open(group, key) == (group in RAW.get(key, []))


@pytest.mark.clause("P2", guard=GUARD + "Registry.may_open")
def test_no_mail_opens_what_only_proceedings_may():
    for purpose in LUCRUM.purposes.values():
        if purpose.mail:
            assert not any(LUCRUM.may_open(group, purpose.key) for group in ("payments", "recovery", "court"))


@pytest.mark.clause("U16", guard=GUARD + "check_record")
@pytest.mark.parametrize(
    "record",
    [
        "",
        'record = { kind = "balancing", file = "records/interests.md", date = 2026-11-23 }',
        'record = { kind = "assessment", file = "records/missing.md", date = 2026-11-23 }',
    ],
)
def test_a_compatible_purpose_without_its_assessment_does_not_load(registry_file, record):
    with registry_file.open("a", encoding="utf-8") as file:
        file.write(FURTHER.format(clause="U16", basis="consent", record=record))
    assert fault(registry_file).startswith("purposes.survey.record")


@pytest.mark.clause("U17", guard=GUARD + "check_record")
@pytest.mark.parametrize(("clause", "basis"), [("U17", "interest"), ("U17", "consent"), ("U11", "interest")])
def test_an_interest_without_its_balancing_does_not_load(registry_file, clause, basis):
    with registry_file.open("a", encoding="utf-8") as file:
        file.write(FURTHER.format(clause=clause, basis=basis, record=""))
    assert fault(registry_file) == "purposes.survey.record"


def further(registry_file, basis, record, *, clause="U18"):
    with registry_file.open("a", encoding="utf-8") as file:
        file.write(FURTHER.format(clause=clause, basis=basis, record=record))
    with registry_file.with_name("lucrum.sl.txt").open("a", encoding="utf-8") as policy:
        policy.write("\n\n- anketa\n")
    return registry_file


def record_of(kind, *, file="records/compatible.md", date="2026-11-23"):
    return f'record = {{ kind = "{kind}", file = "{file}", date = {date} }}'


def test_a_further_purpose_with_its_record_loads(registry_file):
    survey = load_registry(further(registry_file, "consent", record_of("assessment"), clause="U16")).get("survey")
    assert survey is not None
    assert survey.record is not None


RECORDS = {"contract": "contract", "legal_obligation": "law", "interest": "balancing", "existing_customer": "customer"}
KINDS = {*RECORDS.values(), "assessment"}


@pytest.mark.parametrize("basis", RECORDS)
def test_every_basis_but_consent_loads_with_the_record_of_its_kind_alone(registry_file, basis):
    load_registry(further(registry_file, basis, record_of(RECORDS[basis])))


@pytest.mark.clause("U17", guard=GUARD + "check_record")
@pytest.mark.parametrize("basis", RECORDS)
@pytest.mark.parametrize("fault_of", ["none", "kind", "missing", "empty", "binary", "future", "outside"])
def test_a_basis_without_its_record_or_with_a_void_one_does_not_load(registry_file, basis, fault_of):
    folder, kind = registry_file.parent / "records", RECORDS[basis]
    (folder / "empty.md").write_text(" \n\t\n", "utf-8")
    (folder / "binary.md").write_bytes(b"\xff\xfe\x00")
    tomorrow = dt.datetime.now(dt.UTC).date() + dt.timedelta(days=1)
    record, place = {
        "none": ("", ""),
        "kind": (record_of(min(KINDS - {kind})), ""),
        "missing": (record_of(kind, file="records/gone.md"), ".file"),
        "empty": (record_of(kind, file="records/empty.md"), ".file"),
        "binary": (record_of(kind, file="records/binary.md"), ".file"),
        "future": (record_of(kind, date=tomorrow), ".date"),
        "outside": (record_of(kind, file="../../x.md"), ".file"),
    }[fault_of]
    assert fault(further(registry_file, basis, record)) == f"purposes.survey.record{place}"


def test_every_use_of_lucrum_that_does_not_rest_on_consent_has_its_dated_record():
    for purpose in LUCRUM.purposes.values():
        assert (purpose.record is not None) == (purpose.basis != "consent")


def test_a_wording_is_kept_whole_with_the_hash_of_its_file():
    words = LUCRUM.wordings["newsletter", "1", "sl"]
    octets = (DEFAULT.parent / "wordings" / "newsletter-1.sl.txt").read_bytes()
    assert (words.text.encode(), words.hash) == (octets, hashlib.sha256(octets).hexdigest())
    assert wordings.find(LUCRUM.wordings, words.reference, "sl") == words
    assert not wordings.is_unknown(LUCRUM.wordings, "free text", "sl")
    for unknown, language in (("newsletter@2", "sl"), ("newsletter@1", "de"), ("letter@1", "sl"), ("a@b.si", "sl")):
        assert wordings.is_unknown(LUCRUM.wordings, unknown, language)


def test_what_mails_may_be_made_individual_with_has_a_switch():
    assert LUCRUM.profiling == {"proposals.profiling"}
    assert LUCRUM.profiling < LUCRUM.switches < LUCRUM.revocable


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ('lane = "bulk"', 'lane = "slow"', "purposes.offers.lane"),
        ('lane = "bulk"', 'speed = "bulk"', "purposes.offers.speed"),
        ("mail = true", 'mail = "yes"', "purposes.offers.mail"),
        ('basis = "consent"\n', "", "purposes.offers.basis"),
        ('key = "newsletter"', 'key = "offers"', "purposes.offers"),
        ('clause = "P2"', 'clause = "P1"', "promises.P1"),
        ("version = 1", "version = 0", "version"),
        ("version = 1", "version = 1\nextra = 1", "extra"),
        ("version = 1", "version = ", "file"),
        ("tracking = false", "tracking = true", "purposes.payment.tracking"),
        ("revocable = true", "revocable = false", "purposes.offers.revocable"),
        ('templates = ["offer"]', "templates = []", "purposes.offers.templates"),
        ('groups = ["contact"]', "groups = []", "purposes.offers.groups"),
        ('confirm = "confirm"', 'confirm = "other"', "purposes.newsletter.confirm"),
        ('list_id = "ponudba.lucrum.example"\n', "", "purposes.offers.list_id"),
        ('list_id = "ponudba.lucrum.example"', 'list_id = "a b"', "purposes.offers.list_id"),
        ('file = "records/deliverability.md"', 'file = "../x.md"', "purposes.deliverability.record.file"),
        ('policy = "lucrum.sl.txt"', 'policy = "none.txt"', "policy"),
        ('["contact", "profile"]', '["contact", "profile", "court"]', "purposes.proposals.groups"),
        ('["contact", "profile"]', '["contact"]', "purposes.proposals.fields"),
        ("fields = { profile", "fields = { court", "purposes.proposals.fields.court"),
        ('["first_name", ', '["first name", ', "purposes.proposals.fields.profile[0]"),
        ('groups = ["contact"]', 'groups = ["contact", "profile"]', "purposes.offers.fields"),
        ("wordings/newsletter-1.sl.txt", "wordings/gone.txt", "wordings.newsletter@1.sl"),
        ("wordings/newsletter-1.sl.txt", "../x.txt", "wordings.newsletter@1.sl"),
        ('language = "en"', 'language = "sl"', "wordings.newsletter@1.sl"),
    ],
)
def test_a_file_at_fault_is_refused_and_the_key_named(registry_file, old, new, key):
    assert fault(edit(registry_file, old, new)) == key


def test_a_file_that_is_not_there_is_refused(tmp_path):
    assert fault(tmp_path / "none.toml") == "file"


def test_what_can_be_revoked_has_the_tracking_switches_and_no_contract():
    assert {"engagement.opens", "engagement.clicks", "newsletter", "storage"} <= LUCRUM.revocable
    assert "payment" not in LUCRUM.revocable
    assert isinstance(LUCRUM, Registry)
