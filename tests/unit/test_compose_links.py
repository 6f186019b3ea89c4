"""Which attributes of a page are links: found in leaps, and the same ones as by looking at every attribute."""

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from preklic_workers.compose import links
from preklic_workers.compose.content import Content, TemplateError
from preklic_workers.compose.links import Tracking, link

PIECES = ['="', '="', '"', "=", "href", "HREF", "srcset", "style", "cite", "direction", " ", "<a ", ">", "x", "\n", "ž"]


def named(page):
    """Value and place of each attribute that is a link, one attribute after the other."""
    every = ((found, page[max(0, found.start() - 10) : found.start()]) for found in links.ATTRIBUTE.finditer(page))
    return [(found[1], found.start(1)) for found, before in every if before.lower().endswith(links.NAMES)]


@given(st.lists(st.sampled_from(PIECES), max_size=25).map("".join))
@example('<p title="href=" href="x">')
@example('<a href="x')
def test_no_link_is_leapt_over_and_nothing_else_is_taken_for_one(page):
    seen = [
        (found[1], found.start(1))
        for found in links._NAMED.finditer(page)
        if found.lastindex and page[max(0, found.start(1) - 12) : found.start(1) - 2].lower().endswith(links.NAMES)
    ]
    assert seen == named(page)


@pytest.mark.parametrize("piece", ['="', 'style="x" ', '="x', '=" ', "="])
def test_a_hostile_page_takes_no_longer_than_its_length(piece):
    began = time.process_time()
    for _ in links._NAMED.finditer(piece * 100_000):
        pass
    assert time.process_time() - began < 4


def test_a_link_in_capitals_behind_a_hundred_styles_is_checked():
    page = '<p style="x">' * 100 + '<a HREF="javascript:x">'
    with pytest.raises(TemplateError):
        link(Content("", "", page), Tracking())
