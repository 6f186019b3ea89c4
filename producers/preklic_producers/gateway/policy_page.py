"""`GET /policy`: the registry as the person whose address it is reads it. Plain HTML, no scripts, no images."""

from collections.abc import Sequence
from html import escape

from preklic_producers.gateway.pages import Face, page
from preklic_producers.gateway.texts import TEXTS, Language
from preklic_shared.clauses import House, explained, said
from preklic_shared.purposes import Promise, Purpose


def policy(face: Face, house: House) -> str:
    """All clauses in one page, each in the policy's own words and with what is made of it."""
    language, words, registry = face.language, face.words, house.registry
    promises, purposes = registry.promises, list(registry.purposes.values())
    contents = _contents(language, [*promises, *purposes])
    body = (
        f"<p>{escape(words['policy_intro'])}</p>"
        f'<nav aria-label="{escape(words["policy_contents"])}"><ul>{contents}</ul></nav>'
        f"<h2>{escape(words['policy_promises'])}</h2>{_sections(language, promises, house)}"
        f"<h2>{escape(words['policy_purposes'])}</h2>{_sections(language, purposes, house)}"
        f'<p class="soft">{escape(words["policy_foot"])}</p>'
    )
    return page(face, words["policy_title"], body)


def _contents(language: Language, entries: Sequence[Promise | Purpose]) -> str:
    return "".join(f'<li><a href="#{_anchor(one)}">{escape(_title(language, one))}</a></li>' for one in entries)


def _sections(language: Language, entries: Sequence[Promise | Purpose], house: House) -> str:
    return "".join(_section(language, one, house) for one in entries)


def _section(language: Language, entry: Promise | Purpose, house: House) -> str:
    anchor = _anchor(entry)
    lines = "".join(
        f"<dt>{escape(label)}</dt><dd>{escape(text)}</dd>" for label, text in explained(entry, house, language)
    )
    return (
        f'<section class="card" id="{anchor}" aria-labelledby="{anchor}-title">'
        f'<h3 id="{anchor}-title">{escape(_title(language, entry))}</h3>{_words(language, entry)}'
        f"{f'<dl>{lines}</dl>' if lines else ''}</section>"
    )


def _words(language: Language, entry: Promise | Purpose) -> str:
    """The policy's own words; beside a translation also the Slovenian that holds."""
    shown = f"<blockquote><p>{escape(said(entry.text, language))}</p>"
    if language != "sl":
        shown += f'<p lang="sl"><small>{escape(entry.text.sl)}</small></p>'
    return f"{shown}</blockquote>"


def _title(language: Language, entry: Promise | Purpose) -> str:
    if isinstance(entry, Purpose):
        return f"{entry.clause} {said(entry.title, language)}"
    return f"{entry.clause} {TEXTS[language]['policy_promise']}"


def _anchor(entry: Promise | Purpose) -> str:
    """The clause's id; a further purpose of an umbrella clause has its key besides."""
    return entry.clause if isinstance(entry, Promise) else f"{entry.clause}-{entry.key}"
