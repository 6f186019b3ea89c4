"""The public pages: plain HTML that works on a telephone, with a keyboard, and read aloud. No scripts, no images.

A page says nothing that depends on whether a person is known (U6), except the preference centre to whom its link was
sent.
"""

import base64
import hashlib
from collections.abc import Mapping
from html import escape
from typing import Final

from preklic_producers.gateway.texts import TEXTS, Language
from preklic_shared.registry import Registry

STYLE: Final = (
    "body{font:1.1rem/1.5 sans-serif;margin:0 auto;max-width:38rem;padding:1rem;color:#111;background:#fff}"
    "button{font:inherit;padding:.6rem 1rem;margin:.3rem 0;border:2px solid #111;border-radius:.3rem;"
    "background:#fff;color:#111;cursor:pointer}"
    "button:focus-visible{outline:3px solid #05c}li{margin:.6rem 0}ul{list-style:none;padding:0}"
    "a{color:#04b}section{border-top:1px solid #666;margin:1rem 0}dt{font-weight:bold;margin-top:.5rem}dd{margin:0}"
    "blockquote{margin:.5rem 0;padding-left:.8rem;border-left:.25rem solid #04b}main{overflow-wrap:break-word}"
)
STYLE_HASH: Final = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()


def page(language: Language, title: str, body: str) -> str:
    """A whole document; `title` is plain text, `body` HTML that is escaped already."""
    heading = escape(title)
    return (
        f'<!doctype html><html lang="{language}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1"><meta name="robots" content="noindex">'
        f"<title>{heading}</title><style>{STYLE}</style></head><body><main><h1>{heading}</h1>{body}</main></body></html>"
    )


def notice(language: Language, title: str, text: str) -> str:
    """A page with one sentence; both are keys of the texts."""
    words = TEXTS[language]
    return page(language, words[title], f'<p role="status">{escape(words[text])}</p>')


def question(language: Language, kind: str) -> str:
    """One question with one button that posts to the same address; `kind` is `stop` or `confirm`."""
    words = TEXTS[language]
    button = f'<form method="post"><button type="submit">{escape(words[f"{kind}_button"])}</button></form>'
    return page(language, words[f"{kind}_title"], f"<p>{escape(words[f'{kind}_ask'])}</p>{button}")


def preferences(language: Language, registry: Registry, states: Mapping[str, str] | None) -> str:
    """The preference centre. Without `states` (no answer in time) it has stop buttons alone."""
    words = TEXTS[language]
    rows = "".join(_row(language, key, title, states) for key, title in choices(registry, language))
    unknown = "" if states is not None else f"<p>{escape(words['prefs_none'])}</p>"
    everything = _button("stop", "all", words["prefs_stop_all"])
    body = f'<p>{escape(words["prefs_intro"])}</p>{unknown}<form method="post"><ul>{rows}</ul>{everything}</form>'
    return page(language, words["prefs_title"], body)


def choices(registry: Registry, language: Language) -> list[tuple[str, str]]:
    """What a person can stop or start here, with its title: revocable purposes of mail, and the tracking switches."""
    words = TEXTS[language]
    mails = [
        (purpose.key, getattr(purpose.title, language))
        for purpose in registry.purposes.values()
        if purpose.mail and purpose.revocable
    ]
    switches = [("engagement.opens", words["opens"]), ("engagement.clicks", words["clicks"])]
    return mails + [(key, title) for key, title in switches if key in registry.revocable]


def _row(language: Language, key: str, title: str, states: Mapping[str, str] | None) -> str:
    words = TEXTS[language]
    name = escape(title)
    if states is None:
        return f"<li>{name}<br>{_button('stop', key, words['prefs_stop'], title)}</li>"
    state = states.get(key, "withdrawn")
    said = words.get(f"state_{state}", words["state_withdrawn"])
    running = state in {"granted", "pending"}
    button = _button("stop", key, words["prefs_stop"], title) if running else ""
    start = "" if running else _button("start", key, words["prefs_start"], title)
    return f"<li>{name}: {escape(said)}<br>{button}{start}</li>"


def _button(action: str, value: str, text: str, about: str = "") -> str:
    label = f' aria-label="{escape(f"{text}: {about}")}"' if about else ""
    return f'<button type="submit" name="{action}" value="{escape(value)}"{label}>{escape(text)}</button>'
