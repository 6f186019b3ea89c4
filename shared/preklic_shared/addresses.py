"""One e-mail address: read strictly, refused with a code, and folded so that one mailbox is one person.

The grammar is the dot-atom of RFC 5321 with RFC 6531's non-ASCII local parts; quoted local parts, comments,
lists and literals are refused rather than understood, because every parser downstream reads them differently.
Domains follow IDNA 2008 with the mapping of UTS 46, and nothing that maps *onto* ASCII is accepted: a
look-alike is refused or stays apart, it is never merged with its ASCII twin.
"""

import re
import unicodedata
from collections.abc import Callable
from functools import cache
from typing import Final

import idna
import msgspec
from idna import idnadata
from idna.intranges import intranges_contain

MAX_ADDRESS: Final = 254  # octets of the path without its brackets, RFC 5321 4.5.3.1.3
MAX_LOCAL: Final = 64  # octets, RFC 5321 4.5.3.1.1
MAX_DOMAIN: Final = 253  # octets of the A-label form, RFC 1035 less its length bytes
MAX_LABEL: Final = 63

_ATEXT: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789#$&'*+-/=?^_`{|}~")
_LDH: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")
_INVISIBLE: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_SIGNS: Final = (
    ('"', "quoted"),
    ("<", "angle"),
    (">", "angle"),
    (",", "list"),
    (";", "list"),
    ("(", "comment"),
    (")", "comment"),
    ("[", "ip_literal"),
    ("]", "ip_literal"),
    ("%", "route"),
    ("!", "route"),
    ("\\", "quoted"),
    ("=?", "encoded_word"),
    ("?=", "encoded_word"),
)
# What nearly everybody's address looks like: none of the rules below has anything to say about it.
_COMMON: Final = re.compile(
    r"([A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*)@((?:[a-z0-9]+(?:-[a-z0-9]+)*\.)+[a-z]{2,})", re.ASCII
)
_COMMON_LENGTH: Final = 63  # so that no half of it and no label is too long
# Scripts that one word may mix (UTS 39 "highly restrictive"): Japanese, Chinese and Korean beside Latin.
_MIXTURES: Final = (frozenset({"LATIN", "CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO"}),)


class BadAddress(ValueError):
    """The text is not one acceptable address; `code` says why and never repeats the text."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Address(msgspec.Struct, frozen=True):
    """A parsed address.

    `text` is the envelope form (local part as given in NFC, domain as A-labels, lower case), `local` and
    `domain` its halves, `normal` the key of the person (local part NFKC and case-folded), `smtputf8` whether a
    relay must offer SMTPUTF8 (RFC 6531) to take it.
    """

    text: str
    local: str
    domain: str
    normal: str
    smtputf8: bool


def parse(text: str) -> Address:
    """Return the one address that `text` is, or raise `BadAddress` with a code.

    >>> parse("Ana@ČEBELA.si").text
    'Ana@xn--ebela-gya.si'
    >>> parse("Ana@ČEBELA.si").normal
    'ana@xn--ebela-gya.si'
    """
    if len(text) <= _COMMON_LENGTH and (found := _COMMON.fullmatch(text)) is not None:
        local, domain = found.groups()
        return Address(text, local, domain, f"{local.lower()}@{domain}", smtputf8=False)
    return read_closely(text)


def read_closely(text: str) -> Address:
    """`parse`, by every rule."""
    check_signs(text)
    check_twins(text, lambda char: unicodedata.normalize("NFC", char))
    local, at, domain = unicodedata.normalize("NFC", text).rpartition("@")
    if not at or "@" in local:
        raise BadAddress("at_sign")
    check_local(local)
    ascii_domain = read_domain(domain)
    envelope = f"{local}@{ascii_domain}"
    check_length(envelope, MAX_ADDRESS, "address_length")
    return Address(
        text=envelope,
        local=local,
        domain=ascii_domain,
        normal=f"{fold_local(local)}@{ascii_domain}",
        smtputf8=not local.isascii(),
    )


def check_signs(text: str) -> None:
    """Refuse what would make another parser see two addresses, a header or a route in `text`."""
    if not text:
        raise BadAddress("empty")
    if len(text) > MAX_ADDRESS + MAX_LOCAL:
        raise BadAddress("address_length")
    check_visible(text)
    for sign, code in _SIGNS:
        if sign in text:
            raise BadAddress(code)


def check_visible(text: str) -> None:
    """Refuse controls, line ends, zero-width and bidi marks (`control`) and any white space (`space`)."""
    for char in text:
        if unicodedata.category(char) in _INVISIBLE:
            raise BadAddress("control")
        if char.isspace():
            raise BadAddress("space")


def check_length(text: str, limit: int, code: str) -> None:
    """Refuse `text` when its UTF-8 form is longer than `limit` octets."""
    if len(text.encode()) > limit:
        raise BadAddress(code)


def check_local(local: str) -> None:
    """Refuse a local part that is no dot-atom, is too long, or imitates another one."""
    check_length(local, MAX_LOCAL, "local_length")
    if not all(local.split(".")):
        raise BadAddress("local")
    if not local.isascii():
        check_twins(local, fold_local)
    folded = fold_local(local)
    check_length(folded, MAX_LOCAL, "local_length")
    if not all(char in _ATEXT or char == "." or _is_letter(char) for char in folded):
        raise BadAddress("local")
    check_scripts(folded)


def fold_local(local: str) -> str:
    """NFKC and case-fold, repeated once because folding can undo the normal form (Unicode 3.13, D146)."""
    folded = unicodedata.normalize("NFKC", local).casefold()
    return unicodedata.normalize("NFKC", folded).casefold()


def check_twins(text: str, mapped: Callable[[str], str]) -> None:
    """Refuse a non-ASCII character that `mapped` turns into ASCII or nothing: two mailboxes would merge."""
    for char in text:
        if not char.isascii() and mapped(char).isascii():
            raise BadAddress("homoglyph")


def check_scripts(text: str) -> None:
    """Refuse one word of letters from scripts that are not written together (UTS 39, 5.1)."""
    scripts = {_script(char) for char in text if char.isalpha()}
    if len(scripts) > 1 and not any(scripts <= mixture for mixture in _MIXTURES):
        raise BadAddress("mixed_script")


def read_domain(domain: str) -> str:
    """Return the lower-case A-label form of `domain`, or refuse it."""
    labels = domain.split(".")
    if len(labels) < 2:
        raise BadAddress("no_dot")
    ascii_domain = ".".join(read_label(label) for label in labels)
    if labels[-1].isdigit():
        raise BadAddress("ip_literal")
    check_length(ascii_domain, MAX_DOMAIN, "domain_length")
    return ascii_domain


def read_label(label: str) -> str:
    """Return one label as lower-case LDH text of at most 63 octets."""
    if not label:
        raise BadAddress("domain")
    if not label.isascii():
        return _encode_label(label)
    lower = label.lower()
    check_length(lower, MAX_LABEL, "label_length")
    if not _LDH.issuperset(lower) or lower.startswith("-") or lower.endswith("-"):
        raise BadAddress("domain")
    return _check_punycode(lower) if lower.startswith("xn--") else lower


def _encode_label(label: str) -> str:
    try:
        check_twins(label, idna.uts46_remap)
        mapped = idna.uts46_remap(label)
        check_scripts(mapped)
        return idna.alabel(mapped).decode("ascii")
    except idna.IDNAError as error:
        too_long = "too long" in str(error).lower()
        raise BadAddress("label_length" if too_long else "domain") from None


def _check_punycode(label: str) -> str:
    try:
        unicode_label = idna.ulabel(label)
    except (idna.IDNAError, UnicodeError):
        raise BadAddress("punycode") from None
    # A fake A-label decodes to ASCII, or to text that encodes differently (RFC 5890, 2.3.2.1).
    if unicode_label.isascii() or _encode_label(unicode_label) != label:
        raise BadAddress("punycode")
    return label


def _is_letter(char: str) -> bool:
    """PVALID of RFC 5892: letters, marks and digits of living scripts; no symbol, no invisible filler."""
    return not char.isascii() and intranges_contain(ord(char), idnadata.codepoint_classes["PVALID"])


@cache
def _script(char: str) -> str:
    # The standard library has no script property; the first word of a letter's name is its script.
    return unicodedata.name(char, "UNKNOWN").split(" ", 1)[0]
