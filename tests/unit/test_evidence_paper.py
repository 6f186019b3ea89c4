"""The page that explains a bundle: one sheet, the same octets for the same words, and every letter of Slovenian."""

import subprocess
import sys

import pypdfium2
import pytest

from preklic_workers.evidence_paper import paper
from preklic_workers.evidence_words import ENGLISH, NAMES, SLOVENIAN, sections

FACTS = dict.fromkeys(NAMES, "čšž ČŠŽ ćđ")
PRINTS = 'import sys\nfrom preklic_workers.evidence_paper import paper\nsys.stdout.buffer.write(paper({"by": "zala"}))'


def words_of(octets):
    document = pypdfium2.PdfDocument(octets)
    assert len(document) == 1
    return document[0].get_textpage().get_text_range()


def test_both_languages_are_on_one_sheet_with_all_their_letters():
    shown = words_of(paper(FACTS))
    assert shown.count("čšž ČŠŽ ćđ") == len(NAMES)
    flat = "".join(shown.split())
    for text in (SLOVENIAN, ENGLISH):
        assert len(sections(text)) == 4
        assert all("".join((heading + body).split()) in flat for heading, body in sections(text))


@pytest.mark.parametrize("text", ["<b>&amp;", "x" * 500, "漢" * 500, "\x00\n", "a b " * 5000])
def test_whatever_somebody_wrote_stays_text_on_that_sheet(text):
    shown = words_of(paper(FACTS | {"why": text}))
    assert "server's where no time stamp is enclosed" in shown.replace("\r\n", " ")
    assert "&amp;" in shown if "&" in text else True


def test_the_same_words_are_the_same_octets_in_another_process():
    other = subprocess.run([sys.executable, "-c", PRINTS], capture_output=True, check=True, timeout=20).stdout
    assert paper({"by": "zala"}) == other
    assert paper(FACTS) == paper(FACTS)
    assert paper(FACTS) != paper(FACTS | {"by": "zala"})
