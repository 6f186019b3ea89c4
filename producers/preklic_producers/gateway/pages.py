"""The public pages: plain HTML that works on a telephone, with a keyboard, and read aloud. No scripts, no images.

A page says nothing that depends on whether a person is known (U6), except the preference centre to whom its link was
sent (`centre`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from preklic_producers.gateway.style import STYLE
from preklic_producers.gateway.texts import OTHER, TEXTS, Language


@dataclass(frozen=True, slots=True)
class Face:
    """Whose page it is and how it speaks: the `company`, the public URL `home` without a slash, the language."""

    language: Language
    company: str
    home: str

    @property
    def words(self) -> dict[str, str]:
        """The texts in its language."""
        return TEXTS[self.language]


def page(face: Face, title: str, body: str, *, switch: bool = True) -> str:
    """A whole document; `title` is plain text, `body` HTML that is escaped already.

    `switch` offers the other language at the same address. The answer to a form has none: its address is a GET.
    """
    heading, company = escape(title), escape(face.company)
    return (
        f'<!doctype html><html lang="{face.language}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1"><meta name="robots" content="noindex">'
        f"<title>{heading} - {company}</title><style>{STYLE}</style></head><body>"
        f'<header class="wide top"><p>{company}</p>{_switch(face) if switch else ""}</header>'
        f'<main class="wide"><h1>{heading}</h1>{body}</main>'
        f'<footer class="wide foot"><a href="{escape(face.home)}/policy?lang={face.language}">'
        f"{escape(face.words['policy_title'])}</a></footer></body></html>"
    )


def notice(face: Face, title: str, text: str) -> str:
    """A page with one sentence; both are keys of the texts."""
    return page(face, face.words[title], card(said(face.words[text])), switch=False)


def question(face: Face, kind: str, name: str = "", value: str = "") -> str:
    """One question with one button that posts to the same address; `kind` is `stop`, `confirm` or `erase`."""
    words = face.words
    look = "no main" if kind == "erase" else "main"
    form = f'<form method="post">{button(name, value, words[f"{kind}_button"], look=look)}</form>'
    back = f'<a class="plain" href="?lang={face.language}">{escape(words["back"])}</a>' if kind == "erase" else ""
    asked = "".join(f"<p>{escape(line)}</p>" for line in words[f"{kind}_ask"].split("\n"))
    return page(face, words[f"{kind}_title"], card(asked + form) + back, switch=kind != "erase")


def done(face: Face, kind: str, receipt: str, *, centre: str = "", lines: Sequence[str] = ()) -> str:
    """What a form has done, with the job's id as its receipt; `kind` as for a question, or `prefs` with its `lines`.

    `centre` is a link to the preference centre. Whether the token was believed is not seen here: a form whose token was
    not gets a receipt and a link like any other (attack 47).
    """
    words = face.words
    told = "".join(map(said, lines or words[f"{kind}_done"].split("\n")))
    number = f"<dl><dt>{escape(words['receipt'])}</dt><dd><code>{escape(receipt)}</code></dd></dl>"
    text = words["to_centre"] if centre else words["back"] if kind == "prefs" else ""
    link = f'<p><a class="plain" href="{escape(centre or f"?lang={face.language}")}">{escape(text)}</a></p>'
    body = f'<div class="card" role="status">{told}{number}</div>{link if text else ""}'
    return page(face, words[f"{kind}_done_title"], body, switch=False)


def card(inner: str) -> str:
    """A box of its own."""
    return f'<div class="card">{inner}</div>'


def said(text: str) -> str:
    """A paragraph of plain text."""
    return f"<p>{escape(text)}</p>"


def button(name: str, value: str, text: str, *, look: str = "", about: str = "") -> str:
    """A button of a form. `about` is the id of the heading that it is about: both are read aloud."""
    own = f"b-{name}-{value}".replace(".", "-")
    label = f' id="{own}" aria-labelledby="{own} {about}"' if about else ""
    sent = f' name="{escape(name)}" value="{escape(value)}"' if name else ""
    shape = f' class="{look}"' if look else ""
    return f'<button type="submit"{sent}{shape}{label}>{escape(text)}</button>'


def _switch(face: Face) -> str:
    other = OTHER[face.language]
    link = f'<a href="?lang={other}" lang="{other}" hreflang="{other}">{escape(TEXTS[other]["here"])}</a>'
    return f'<nav aria-label="{escape(face.words["language"])}">{link}</nav>'
