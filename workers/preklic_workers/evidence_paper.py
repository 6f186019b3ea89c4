"""The page that explains a bundle of evidence: one sheet A4 as PDF, whose octets depend on what it says alone."""

import io
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any, Final

import reportlab
from reportlab.lib.colors import HexColor
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Frame, HRFlowable, KeepInFrame, Paragraph, Table

from preklic_workers.evidence_words import ENGLISH, NAMES, SLOVENIAN, sections

_FONTS: Final = Path(reportlab.__file__).parent / "fonts"  # Bitstream Vera: it has all letters of Slovenian
_PLAIN, _BOLD = "Vera", "VeraBd"
_MARGIN: Final = 50.0  # points
_MOST: Final = 700  # characters of one fact, or of a paragraph
_GREY: Final = HexColor("#555555")
_TITLE: Final = ParagraphStyle("title", fontName=_BOLD, fontSize=15, leading=19, spaceAfter=8)
_HEAD: Final = ParagraphStyle("head", fontName=_BOLD, fontSize=9.5, leading=13, spaceBefore=5)
_BODY: Final = ParagraphStyle("body", fontName=_PLAIN, fontSize=8.5, leading=12)
_NAME: Final = ParagraphStyle("name", parent=_BODY, textColor=_GREY)
_ALL: Final = ((0, 0), (-1, -1))
_PADDED: Final = [("LEFTPADDING", *_ALL, 0), ("TOPPADDING", *_ALL, 1), ("BOTTOMPADDING", *_ALL, 1)]
_TABLE: Final = [("VALIGN", *_ALL, "TOP"), *_PADDED]


def paper(facts: Mapping[str, str]) -> bytes:
    """The PDF. `facts` by the names in `evidence_words.NAMES`; what the font has no letter for becomes a `?`."""
    for name in (_PLAIN, _BOLD):
        if name not in pdfmetrics.getRegisteredFontNames():
            pdfmetrics.registerFont(TTFont(name, _FONTS / f"{name}.ttf"))
    width, height = A4
    file = io.BytesIO()
    page = Canvas(file, pagesize=A4, invariant=1, lang="sl")  # the same date and id each time
    page.setTitle("Dokazilo / Evidence")
    inner = (width - 2 * _MARGIN - 12, height - 2 * _MARGIN - 12)
    frame = Frame(_MARGIN, _MARGIN, width - 2 * _MARGIN, height - 2 * _MARGIN)
    frame.addFromList([KeepInFrame(*inner, list(_parts(facts)), mode="shrink")], page)
    page.save()
    return file.getvalue()


def _parts(facts: Mapping[str, str]) -> Iterator[Any]:
    yield Paragraph("Dokazilo iz knjige · Evidence from the ledger", _TITLE)
    rows = [[Paragraph(NAMES[name], _NAME), Paragraph(_shown(text), _BODY)] for name, text in facts.items()]
    yield Table(rows, colWidths=[130, 350], hAlign="LEFT", style=_TABLE)
    yield from _explained("Slovensko", SLOVENIAN)
    yield from _explained("English", ENGLISH)


def _explained(language: str, text: str) -> Iterator[Any]:
    yield HRFlowable(width="100%", thickness=0.5, color=_GREY, spaceBefore=8, spaceAfter=3)
    yield Paragraph(language, _NAME)
    for title, body in sections(text):
        yield Paragraph(title, _HEAD)
        yield Paragraph(_shown(body), _BODY)


def _shown(text: str) -> str:
    font = pdfmetrics.getFont(_PLAIN)
    assert isinstance(font, TTFont)  # `paper` registered it
    known = font.face.charToGlyph
    return escape("".join(char if ord(char) in known else "?" for char in text[:_MOST]))
