"""The preference centre as HTML, for any answer of the store: one button for each thing that can be stopped."""

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preklic_producers.gateway import centre, pages, preferences
from preklic_producers.gateway.texts import TEXTS
from preklic_shared.registry import SWITCHES, load_registry

REGISTRY = load_registry()
FACES = [pages.Face(language, REGISTRY.controller, "https://novice.lucrum.example") for language in ("sl", "en")]
KEYS = [key for key, _ in centre.choices(REGISTRY, "sl")]
STATE = st.sampled_from(["none", "pending", "granted", "withdrawn", "objected", "<b>", "unheard of"])


class Outline(HTMLParser):
    """Buttons as (name, value, accessible name's ids), ids, and whether every element is closed in its order."""

    def __init__(self, text):
        super().__init__()
        self.buttons, self.ids, self.open = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.ids += [given["id"]] if "id" in given else []
        if tag == "button":
            self.buttons.append((given["name"], given["value"], given.get("aria-labelledby", "").split()))
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@given(st.sampled_from(FACES), st.none() | st.dictionaries(st.sampled_from([*KEYS, "payment", "x"]), STATE))
def test_whatever_the_store_answers_each_thing_has_one_button_that_is_named_after_it(face, states):
    page = Outline(centre.preferences(face, REGISTRY, states))
    assert len(page.ids) == len(set(page.ids))
    named = {value: name for name, value, _ in page.buttons}
    assert sorted(value for _, value, _ in page.buttons) == sorted([*KEYS, "all", "ask"])
    assert (named["all"], named["ask"]) == ("stop", "erase")
    for _, value, labels in page.buttons:
        assert value in {"all", "ask"} or (len(labels) == 2 and set(labels) <= set(page.ids))
    for key in KEYS:
        silence = "stop" if states is None or key in REGISTRY.profiling else "start"
        running = {"granted", "none"} if key in REGISTRY.profiling else {"granted", "pending"}
        said = None if states is None else states.get(key)
        assert named[key] == (silence if said is None else "stop" if said in running else "start")


@pytest.mark.parametrize("face", FACES, ids=("sl", "en"))
def test_a_page_says_in_the_policy_s_words_what_each_mail_is_and_names_the_company(face):
    text = centre.preferences(face, REGISTRY, {})
    assert f'<header class="wide top"><p>{REGISTRY.controller}</p>' in text
    for purpose in REGISTRY.purposes.values():
        if purpose.mail:
            assert centre.sentence(purpose.text, face.language).replace("'", "&#x27;") in text


@pytest.mark.parametrize("face", FACES, ids=("sl", "en"))
def test_what_was_chosen_is_said_with_when_it_holds(face):
    words = TEXTS[face.language]
    stopped = preferences.chosen(face, REGISTRY, ["newsletter", "offers"], [])
    assert stopped[1:] == [words["prefs_stop_holds"]]
    assert preferences.chosen(face, REGISTRY, [], ["newsletter"])[1] == words["prefs_start_confirm"]
    for key in ("offers", *SWITCHES):
        assert preferences.chosen(face, REGISTRY, [], [key])[1] == words["prefs_start_now"]
    assert words["prefs_everything"] in preferences.chosen(face, REGISTRY, ["all", "offers"], [])[0]
