"""The HTML source of a template as pieces: tags, text and Jinja's own, and the plain text that follows from it."""

import html
import re
from collections.abc import Iterator
from typing import Final

from preklic_workers.compose.content import TemplateError

JINJA: Final = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.DOTALL)
_PIECE: Final = re.compile(
    r"(?P<jinja>\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\})"
    r"|(?P<comment><!--.*?-->|<!.*?>)"
    r"|(?P<hidden><(?P<name>style|head|title)\b[^>]*>.*?</(?P=name)\s*>)"
    r'|(?P<tag></?[a-z][\w-]*(?:"[^"]*"|[^<>"])*>)'
    r"|(?P<text>[^<{]+|[<{])",
    re.DOTALL | re.IGNORECASE,
)
_NAME: Final = re.compile(r"</?([a-z][\w-]*)", re.IGNORECASE)
_HREF: Final = re.compile(r'\shref="([^"]*)"', re.IGNORECASE)
_ALT: Final = re.compile(r'\salt="([^"]*)"', re.IGNORECASE)
_BLANKS: Final = re.compile(r"\s+")
_WIDE: Final = re.compile(r"\n(?:[ \t]*\n){2,}")
_LAYOUT: Final = re.compile(r'(\{%-?\s*extends\s+["\'][^"\']+)\.html\.j2(["\'])')
VOID: Final = frozenset({"area", "br", "col", "hr", "img", "input", "link", "meta", "source", "wbr"})
_PARAGRAPHS: Final = frozenset({"p", "h1", "h2", "h3", "h4", "table", "ul", "ol", "blockquote", "hr"})
_LINES: Final = frozenset({"br", "tr", "div", "li"})


def pieces(source: str) -> Iterator[tuple[str, str]]:
    """(kind, text) of each piece in order; kinds are jinja, comment, hidden (head, style, title), tag and text."""
    for found in _PIECE.finditer(source):
        yield found.lastgroup or "text", found[0]


def is_start(kind: str, piece: str) -> bool:
    """Whether it is the tag that begins an element."""
    return kind == "tag" and not piece.startswith("</")


def balanced(source: str) -> bool:
    """Whether each element that begins in the source ends there, and the other way round."""
    ahead: list[str] = []
    for kind, piece in pieces(source):
        name = _name(piece) if kind == "tag" else ""
        if is_start(kind, piece):
            ahead += [] if name in VOID or piece.endswith("/>") else [name]
        elif kind == "tag" and (not ahead or ahead.pop() != name):
            return False
    return not ahead


def _name(tag: str) -> str:
    found = _NAME.match(tag)
    return found[1].lower() if found else ""


def text_of(place: str, source: str) -> str:
    """The source of a text body that says what the HTML body `source` says, links in full after their words.

    TemplateError where a link or the words of an image cannot be told from the source.
    """
    return _WIDE.sub("\n\n", "".join(_pieces_of_text(place, source))).strip() + "\n"


def tidy(text: str) -> str:
    """Rendered text with at most one empty line at a time: what was left out leaves lines behind."""
    return _WIDE.sub("\n\n", text).strip() + "\n"


def _pieces_of_text(place: str, source: str) -> Iterator[str]:
    links: list[str] = []
    for kind, piece in pieces(source):
        match kind:
            case "jinja":
                yield _LAYOUT.sub(r"\1.txt.j2\2", piece)
            case "text":
                yield html.unescape(_BLANKS.sub(" ", piece)) if piece.strip() else " " * ("\n" not in piece)
            case "tag":
                yield _tag(place, piece, links)
            case _:
                pass


def _tag(place: str, tag: str, links: list[str]) -> str:
    name, closing = _name(tag), tag.startswith("</")
    if name == "a" and not closing:
        href = _HREF.search(tag)
        links.append(html.unescape(href[1]) if href else "")
    elif name == "a":
        if not links:
            raise TemplateError(f"{place}: a link ends that did not begin")
        url = links.pop()
        return f": {url}" if url and not url.startswith("#") else ""
    elif name == "img" and (words := _ALT.search(tag)) is not None:
        return html.unescape(words[1])
    elif name in {"td", "th"} and closing:
        return " "
    elif name == "li" and not closing:
        return "\n* "
    if name in _PARAGRAPHS:
        return "\n\n"
    return "\n" if name in _LINES and (name == "br" or closing) else ""
