"""The public pages: plain HTML that works on a telephone, with a keyboard, and read aloud. No scripts, no images.

A page says nothing that depends on whether a person is known (U6), except the preference centre to whom its link was
sent.
"""

import base64
import datetime as dt
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


def question(language: Language, kind: str, name: str = "", value: str = "") -> str:
    """One question with one button that posts to the same address; `kind` is `stop`, `confirm` or `erase`."""
    words = TEXTS[language]
    said = f' name="{escape(name)}" value="{escape(value)}"' if name else ""
    button = f'<form method="post"><button type="submit"{said}>{escape(words[f"{kind}_button"])}</button></form>'
    return page(language, words[f"{kind}_title"], f"<p>{escape(words[f'{kind}_ask'])}</p>{button}")


def preferences(language: Language, registry: Registry, states: Mapping[str, str] | None) -> str:
    """The preference centre. Without `states` (no answer in time) it has stop buttons alone."""
    words = TEXTS[language]
    rows = "".join(
        (_individual if key in registry.profiling else _row)(language, key, title, states)
        for key, title in choices(registry, language)
    )
    unknown = "" if states is not None else f"<p>{escape(words['prefs_none'])}</p>"
    everything = _button("stop", "all", words["prefs_stop_all"])
    erase = f"<h2>{escape(words['erase_title'])}</h2><p>{_button('erase', 'ask', words['erase_open'])}</p>"
    form = f'<form method="post"><ul>{rows}</ul>{everything}{erase}</form>'
    return page(language, words["prefs_title"], f"<p>{escape(words['prefs_intro'])}</p>{unknown}{form}")


def erased(language: Language, told: Mapping[str, object]) -> str:
    """The receipt of an erasure: when (`at`, seconds since 1970), its job (`receipt`), whether something is `kept`."""
    words = TEXTS[language]
    day = dt.datetime.fromtimestamp(float(str(told["at"])), dt.UTC)
    lines = [words["erased_when"].format(day=f"{day.day}. {day.month}. {day.year}"), words["erased_stays"]]
    lines += [words["erased_kept"]] if told.get("kept") else []
    body = "".join(f"<p>{escape(line)}</p>" for line in lines)
    receipt = f"<p>{escape(words['erased_receipt'])}: <code>{escape(str(told.get('receipt', '')))}</code></p>"
    return page(language, words["erased_title"], body + receipt)


def choices(registry: Registry, language: Language) -> list[tuple[str, str]]:
    """What a person can stop or start here, with its title: mail, whether it is individual, and tracking, apart."""
    words = TEXTS[language]
    mails = []
    for purpose in registry.purposes.values():
        title = getattr(purpose.title, language)
        mails += [(purpose.key, title)] if purpose.mail and purpose.revocable else []
        mails += [(purpose.profiling, f"{title}: {words['individual']}")] if purpose.profiling is not None else []
    switches = [("engagement.opens", words["opens"]), ("engagement.clicks", words["clicks"])]
    return mails + [(key, title) for key, title in switches if key in registry.revocable]


def start_words(language: Language, registry: Registry, key: str) -> str:
    """The words of the button that starts `key`, with what it starts: the wording of that permission."""
    button = TEXTS[language]["individual_start" if key in registry.profiling else "prefs_start"]
    return f"{button}: {dict(choices(registry, language)).get(key, key)}"[:200]


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


def _individual(language: Language, key: str, title: str, states: Mapping[str, str] | None) -> str:
    """The switch against individual mail (GDPR 21(2)): on until the person objects."""
    words = TEXTS[language]
    on = states is None or states.get(key, "none") in {"none", "granted"}
    state = "" if states is None else f" ({words['individual_granted' if on else 'individual_objected']})"
    action = "stop" if on else "start"
    return f"<li>{escape(title + state)}<br>{_button(action, key, words[f'individual_{action}'], title)}</li>"


def _button(action: str, value: str, text: str, about: str = "") -> str:
    label = f' aria-label="{escape(f"{text}: {about}")}"' if about else ""
    return f'<button type="submit" name="{action}" value="{escape(value)}"{label}>{escape(text)}</button>'
