import doctest
import unicodedata

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from preklic_shared import addresses
from preklic_shared.addresses import BadAddress, parse

GUARD = "preklic_shared.addresses:"


def refusal(text):
    with pytest.raises(BadAddress) as caught:
        parse(text)
    assert text not in str(caught.value)
    return caught.value.code


def read(text):
    try:
        return parse(text)
    except BadAddress:
        return None


@pytest.mark.attack(21, guard=GUARD + "check_visible")
@pytest.mark.parametrize("sign", ["\r", "\n", "\r\n", "\0", "\u2028", "\u2029", "\x85", "\x0b", "\t", "\x7f", "\x1b"])
@pytest.mark.parametrize("place", ["{}ana@primer.si", "an{}a@primer.si", "ana@pri{}mer.si", "ana@primer.si{}"])
def test_a_control_anywhere_in_an_address_is_refused(sign, place):
    assert refusal(place.format(sign)) == "control"


@pytest.mark.attack(22, guard=GUARD + "check_signs")
@pytest.mark.parametrize(
    "text",
    [
        "=?utf-8?q?bob=40evil.com=3E=2C?=@x.si",
        "=?utf-8?b?Ym9i?=@x.si",
        "=?utf-8?q?bob=40evil.com@x.si",
        "ana?=@x.si",
    ],
)
def test_an_encoded_word_is_no_local_part(text):
    assert refusal(text) == "encoded_word"


@pytest.mark.attack(23, guard=GUARD + "check_signs")
@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("<ana@x.si>", "angle"),
        ("evil@y.si>", "angle"),
        ("a@x.si,b", "list"),
        ("a,b@x.si", "list"),
        ("a;b@x.si", "list"),
    ],
)
def test_signs_of_a_list_or_an_angle_address_are_refused(text, code):
    assert refusal(text) == code


@pytest.mark.parametrize("text", ["evil@y.si> <a@x.si", "a@x.si, b@y.si", "a@x.si;b@y.si", "a@b@x.si", "ana", ""])
def test_more_or_less_than_one_address_is_refused(text):
    assert read(text) is None


@pytest.mark.attack(24, guard=GUARD + "check_signs")
@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("ana%0d%0a@x.si", "route"),
        ("a%b@c.si", "route"),
        ("a!b@c.si", "route"),
        ('"ana"@x.si', "quoted"),
        ('"a@b"@x.si', "quoted"),
        ("a\\@x.si", "quoted"),
        ("ana@[127.0.0.1]", "ip_literal"),
        ("ana@[IPv6:::1]", "ip_literal"),
        ("ana(x)@x.si", "comment"),
    ],
)
def test_routes_quotes_comments_and_literals_are_refused(text, code):
    assert refusal(text) == code


@pytest.mark.attack(24, guard=GUARD + "read_domain")
@pytest.mark.parametrize(
    ("text", "code"),
    [("ana@localhost", "no_dot"), ("ana@127.0.0.1", "ip_literal"), ("ana@x..si", "domain"), ("ana@x.si.", "domain")],
)
def test_a_domain_is_a_public_host_name(text, code):
    assert refusal(text) == code


@pytest.mark.attack(25, guard=GUARD + "check_length")
@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("a" * 65 + "@x.si", "local_length"),
        ("č" * 33 + "@x.si", "local_length"),
        ("a@" + "b" * 64 + ".si", "label_length"),
        ("a@" + "b." * 126 + "si", "domain_length"),
        ("a" * 64 + "@" + "b." * 94 + "si", "address_length"),
    ],
)
def test_every_part_has_its_longest(text, code):
    assert refusal(text) == code


def test_the_longest_of_each_part_is_still_read():
    assert parse("a" * 64 + "@x.si").local == "a" * 64
    assert parse("a@" + "b" * 63 + ".si").domain == "b" * 63 + ".si"
    assert len(parse("a" * 64 + "@" + "b." * 93 + "sii").text) == 254
    assert refusal("a@" + "b" * 400 + ".si") == "address_length"


@pytest.mark.attack(26, guard=GUARD + "_encode_label")
def test_a_domain_in_any_spelling_is_one_person():
    spellings = [
        "ana@čebela.si",
        "ana@xn--ebela-gya.si",
        "ANA@XN--EBELA-GYA.SI",
        "Ana@Čebela.SI",
        "ana@c\u030cebela.si",
    ]
    assert {parse(text).normal for text in spellings} == {"ana@xn--ebela-gya.si"}


@pytest.mark.attack(26, guard=GUARD + "_check_punycode")
@pytest.mark.parametrize("label", ["xn--a", "xn--99999999", "xn--a-0hc1"])
def test_bad_punycode_is_refused(label):
    assert refusal(f"ana@{label}.si") == "punycode"


@pytest.mark.parametrize("label", ["xn--", "xn--abc-", "-ana", "ana-", "a_b"])
def test_a_label_is_letters_digits_and_inner_hyphens(label):
    assert refusal(f"ana@{label}.si") == "domain"


@pytest.mark.attack(28, guard=GUARD + "check_visible")
@pytest.mark.parametrize("char", ["\u200b", "\u200d", "\u2060", "\ufeff", "\u00ad", "\u202e", "\u2066", "\u061c"])
def test_zero_width_and_bidi_marks_are_refused(char):
    assert refusal(f"an{char}a@primer.si") == "control"
    assert refusal(f"ana@pri{char}mer.si") == "control"


@pytest.mark.attack(28, guard=GUARD + "check_twins")
@pytest.mark.parametrize(
    "text", ["\uff41na@x.si", "\u212aate@x.si", "stra\u00dfe@x.si", "ana@\uff58x.si", "ana@\u212a.si"]
)
def test_what_folds_onto_ascii_is_refused(text):
    assert refusal(text) == "homoglyph"


@pytest.mark.attack(28, guard=GUARD + "check_scripts")
@pytest.mark.parametrize("text", ["\u0430na@x.si", "an\u03b1@x.si", "ana@p\u0430ypal.si", "ana@xn--pypal-4ve.com"])
def test_one_word_of_two_scripts_is_refused(text):
    assert refusal(text) in {"mixed_script", "punycode"}


def test_a_whole_script_twin_stays_apart():
    assert parse("\u0430\u0441\u0435@x.si").normal != parse("ace@x.si").normal


def test_invisible_fillers_are_refused():
    for filler in "\u034f\u115f\u3164\ufe0f\uffa0\u17b4":
        assert read(f"ana{filler}@x.si") is None
        assert read(f"{filler}@x.si") is None
        assert read(f"ana@x{filler}.si") is None


def test_ordinary_addresses_are_read():
    for text in ["o'brien+news@x.co.uk", "a.b-c_d@x-y.si", "1@1.si", "用户@例子.中国", "čšž@primer.si"]:
        assert parse(text).smtputf8 == (not text.split("@")[0].isascii())
    assert parse("Ana.Novak@Primer.SI").text == "Ana.Novak@primer.si"


PARTS = st.text(st.sampled_from("aZ09.-_'+\u010d\u0430\u00df\u200b\u212a<>,;:()[]%!\\ \r\n@=?\uff0e\u3002"), max_size=8)


@settings(suppress_health_check=[HealthCheck.filter_too_much])
@given(PARTS, PARTS)
def test_what_is_accepted_is_one_safe_token(local, label):
    address = read(f"a{local}@{label}b.si")
    assume(address is not None)
    assert address.text.count("@") == 1
    assert address.domain.isascii()
    assert not any(c.isspace() or c in '<>,;"()[]\\%!:' for c in address.text)
    assert parse(address.text) == address
    assert parse(address.normal).normal == address.normal


LETTERS = st.characters(whitelist_categories=("Ll", "Lu", "Lo", "Lm", "Mn", "Mc", "Nd"))


@given(st.text(LETTERS, min_size=1, max_size=12))
def test_a_non_ascii_local_part_never_becomes_an_ascii_person(local):
    address = read(f"{local}@primer.si")
    assume(address is not None)
    assert address.normal.isascii() == unicodedata.normalize("NFC", local).isascii()
    assert parse(address.normal).normal == address.normal
    assert parse(address.text) == address


@given(st.from_regex(r"[A-Za-z0-9]{1,20}", fullmatch=True), st.from_regex(r"[a-z0-9]{1,20}", fullmatch=True))
def test_case_never_makes_two_people(local, label):
    text = f"{local}@{label}.si"
    assert parse(text.upper()).normal == parse(text.lower()).normal == text.lower()


@given(st.text('aB1.-_+@x%"ž ', max_size=30) | st.from_regex(r"[a-z0-9.+-]{1,12}@[a-z0-9-]{1,9}\.[a-z0-9]{1,4}"))
@example("a" * 64 + "@primer.si")
@example("ana@" + "a" * 64 + ".si")
@example("ana@xn--a.si")
@example("ana@primer.si\n")
def test_a_common_address_is_read_as_every_rule_reads_it(text):
    def closely(text):
        try:
            return addresses.read_closely(text)
        except BadAddress:
            return None

    assert read(text) == closely(text)


def test_the_examples_of_the_docstrings_hold():
    assert doctest.testmod(addresses).failed == 0
