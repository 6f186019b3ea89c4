"""The preference centre as HTML: each kind of mail with what it means and how it stands, tracking and erasure apart."""

import datetime as dt
from collections.abc import Mapping
from html import escape

from preklic_producers.gateway.pages import Face, button, page, said
from preklic_producers.gateway.texts import TEXTS, Language
from preklic_shared.clauses import said as in_language
from preklic_shared.purposes import Purpose, Words
from preklic_shared.registry import ENGAGEMENT, SWITCHES, Registry

States = Mapping[str, str] | None
_RUNNING = frozenset({"granted", "pending"})


def preferences(face: Face, registry: Registry, states: States) -> str:
    """The page. Without `states` (no answer in time) it has stop buttons alone."""
    words = face.words
    mails = [purpose for purpose in registry.purposes.values() if purpose.mail]
    cards = "".join(_mail(face, purpose, states) for purpose in mails if purpose.revocable)
    unknown = f'<p class="card" role="status">{escape(words["prefs_none"])}</p>' if states is None else ""
    parts = (
        _part("mails", words["prefs_mails"], f"<ul>{cards}</ul>"),
        _tracking(face, registry, states),
        _part("all", words["prefs_all"], said(words["prefs_all_means"]) + _stop_all(face)),
        "".join(_fixed(face, purpose) for purpose in mails if not purpose.revocable),
        _erasure(face),
    )
    form = f'<form method="post">{"".join(parts)}</form>'
    return page(face, words["prefs_title"], said(words["prefs_intro"]) + unknown + form)


def erased(face: Face, told: Mapping[str, object]) -> str:
    """The receipt of an erasure: when (`at`, seconds since 1970), its job (`receipt`), whether something is `kept`."""
    words = face.words
    day = dt.datetime.fromtimestamp(float(str(told["at"])), dt.UTC)
    lines = [words["erased_when"].format(day=f"{day.day}. {day.month}. {day.year}"), words["erased_stays"]]
    lines += [words["erased_kept"]] if told.get("kept") else []
    number = f"<dt>{escape(words['receipt'])}</dt><dd><code>{escape(str(told.get('receipt', '')))}</code></dd>"
    body = "".join(map(said, lines))
    return page(face, words["erased_title"], f'<div class="card">{body}<dl>{number}</dl></div>')


def choices(registry: Registry, language: Language) -> list[tuple[str, str]]:
    """What a person can stop or start here, with its title: mail, whether it is individual, and tracking, apart."""
    words = TEXTS[language]
    mails = []
    for purpose in registry.purposes.values():
        title = in_language(purpose.title, language)
        mails += [(purpose.key, title)] if purpose.mail and purpose.revocable else []
        mails += [(purpose.profiling, f"{title}: {words['individual']}")] if purpose.profiling is not None else []
    return mails + [(key, words[key]) for key in SWITCHES if key in registry.revocable]


def start_words(language: Language, registry: Registry, key: str) -> str:
    """The words of the button that starts `key`, with what it starts: the wording of that permission."""
    words = TEXTS[language]
    verb = "individual_start" if key in registry.profiling else "track_start" if key in SWITCHES else "prefs_start"
    return f"{words[verb]}: {dict(choices(registry, language)).get(key, key)}"[:200]


def sentence(text: Words, language: Language) -> str:
    """A clause of the policy as a sentence of its own.

    >>> sentence(Words(sl="hramba naslova;", en="keeping the address"), "sl")
    'Hramba naslova.'
    """
    clause = in_language(text, language).strip().rstrip(";.")
    return f"{clause[:1].upper()}{clause[1:]}."


def _part(name: str, title: str, inner: str) -> str:
    return f'<section aria-labelledby="h-{name}"><h2 id="h-{name}">{escape(title)}</h2>{inner}</section>'


def _mail(face: Face, purpose: Purpose, states: States) -> str:
    title = in_language(purpose.title, face.language)
    inner = said(sentence(purpose.text, face.language)) + _switch(face, purpose.key, states, "prefs", "state")
    if purpose.profiling is not None:
        inner += _individual(face, purpose.profiling, states)
    return f'<li class="card"><h3 id="t-{purpose.key}">{escape(title)}</h3>{inner}</li>'


def _individual(face: Face, key: str, states: States) -> str:
    """The switch against individual mail (GDPR 21(2)): on until the person objects."""
    words, about = face.words, f"t-{key.replace('.', '-')}"
    on = states is None or states.get(key, "none") in {"none", "granted"}
    state = "" if states is None else _state(face, words["individual_granted" if on else "individual_objected"], on=on)
    action = "stop" if on else "start"
    head = f'<h3 id="{about}">{escape(words["individual_title"])}</h3>{said(words["individual_means"])}'
    act = state + button(action, key, words[f"individual_{action}"], about=about)
    return f'<div class="card">{head}<div class="act">{act}</div></div>'


def _switch(face: Face, key: str, states: States, verbs: str, said_as: str) -> str:
    """How it stands, in words, and the one button that changes it."""
    words, about = face.words, f"t-{key.replace('.', '-')}"
    if states is None:
        return f'<div class="act">{button("stop", key, words[f"{verbs}_stop"], about=about)}</div>'
    state = states.get(key, "withdrawn")
    told = _state(face, words.get(f"{said_as}_{state}", words[f"{said_as}_withdrawn"]), on=state == "granted")
    action = "stop" if state in _RUNNING else "start"
    return f'<div class="act">{told}{button(action, key, words[f"{verbs}_{action}"], about=about)}</div>'


def _state(face: Face, told: str, *, on: bool) -> str:
    look = "state on" if on else "state"
    return f'<p class="{look}">{escape(face.words["state"])}: <strong>{escape(told)}</strong></p>'


def _tracking(face: Face, registry: Registry, states: States) -> str:
    """Opens and clicks, apart from the mails and from each other (U12)."""
    kept, words = registry.get(ENGAGEMENT), face.words
    if kept is None or not kept.revocable:
        return ""
    cards = "".join(
        f'<li class="card"><h3 id="t-{key.replace(".", "-")}">{escape(words[key])}</h3>'
        f"{_switch(face, key, states, 'track', 'track')}</li>"
        for key in SWITCHES
    )
    means = sentence(kept.text, face.language), in_language(kept.does, face.language) if kept.does else ""
    return _part("tracking", words["prefs_tracking"], f"{''.join(map(said, filter(None, means)))}<ul>{cards}</ul>")


def _fixed(face: Face, purpose: Purpose) -> str:
    """A mail that rests on a contract or a duty: what it is, and that it has no button."""
    inner = said(sentence(purpose.text, face.language)) + said(face.words["prefs_fixed"])
    return _part(purpose.key, in_language(purpose.title, face.language), inner)


def _stop_all(face: Face) -> str:
    return button("stop", "all", face.words["prefs_stop_all"], look="main")


def _erasure(face: Face) -> str:
    words = face.words
    inner = said(words["erase_means"]) + button("erase", "ask", words["erase_open"], look="no")
    return _part("erasure", words["erase_title"], inner)
