"""The public pages as people meet them: a real Chromium, through a real gateway, before real workers and services."""

import asyncio
import json
import time
from contextlib import asynccontextmanager, contextmanager

import pytest
from axe_playwright_python.async_playwright import Axe

from living import at_work, permitted, settings_of, users_of
from preklic_producers import Producer
from preklic_shared.ids import new_id
from preklic_shared.relay_settings import Relay
from preklic_shared.token_keys import load_token_keys
from preklic_shared.tokens import Confirm, Preference
from preklic_stack.browser import DESKTOP, PHONE, chromium, find_chromium
from preklic_stack.letters import letters
from producing import Answerer, Served
from sending import DATA, PROCESSOR
from waiting import auntil

ANA = "ana@primer.si"
ROLES = ("send", "record", "revoke", "answer")
STATES = {"newsletter": "granted", "offers": "withdrawn", "proposals": "granted", "partner_offers": "pending"}
SMALLEST = 44


@pytest.fixture(autouse=True)
def _browser_is_there(found_or_skipped):
    found_or_skipped(find_chromium)


@pytest.fixture
def settings(rabbit, vhost, mongo, mongo_database, tmp_path, free_port, sink):
    relay = Relay(name="sink", host="127.0.0.1", port=sink.port, tls="off", processor=PROCESSOR.name)
    common = {"public_url": f"http://127.0.0.1:{free_port}", "relays": (relay,), "processors": (PROCESSOR,)}
    with users_of(rabbit, vhost, "gateway", "website", *ROLES) as users:
        yield settings_of(users, mongo, mongo_database, tmp_path / "keys", mail_domain="lucrum.example", **common)


@asynccontextmanager
async def tab_of(browser, **shape):
    """A tab that asks nobody but the gateway, and whose console stays empty."""
    context = await browser.new_context(**shape)
    tab, complaints = await context.new_page(), []
    tab.on("console", lambda line: complaints.append(line.text))
    tab.on("requestfailed", lambda request: complaints.append(request.url))
    yield tab
    await context.close()
    assert complaints == []


class Reader:
    """Somebody with a telephone on which scripts are off, and what the store holds of her."""

    def __init__(self, tab, store, producer):
        self.tab, self.store, self.producer = tab, store, producer

    async def press(self, name, near=None):
        """Press the one button of that name (below that heading), by touch."""
        where, full = (self.tab, name) if near is None else (self.card(near), f"{name} {near}")
        async with self.tab.expect_navigation():
            await where.get_by_role("button", name=full, exact=True).tap()

    async def follow(self, name):
        async with self.tab.expect_navigation():
            await self.tab.get_by_role("link", name=name).tap()

    def card(self, title):
        return self.tab.locator("li", has=self.tab.get_by_role("heading", name=title, exact=True))

    async def heading(self):
        return await self.tab.get_by_role("heading", level=1).inner_text()

    async def receipt(self):
        return await self.tab.locator("code").inner_text()

    async def person(self):
        doc = await self.store.mongo["persons"].find_one({})
        return await self.store.persons.whole(doc["_id"]) if doc else None

    async def until(self, **said):
        """Until the store says this of her permissions."""

        async def so():
            person = await self.person()
            return person and all(person.permissions[key].state == state for key, state in said.items())

        await auntil(so, 20, f"{said}")

    async def shown(self, title, state):
        """Until the preference centre, loaded anew, shows this state."""

        async def so():
            await self.tab.goto(self.tab.url.partition("?")[0])
            text = await self.card(title).inner_text()
            return f"Stanje: {state}" in text

        await auntil(so, 20, f"{title}: {state}")


@pytest.mark.clause("U2", guard="preklic_producers.gateway.public:stop")
async def test_a_person_stops_starts_confirms_and_is_erased_by_touch_without_scripts(settings, tmp_path, sink):
    gateway = settings("gateway", outbox=tmp_path / "outbox.sqlite")
    port = int(gateway.public_url.rpartition(":")[2])
    phone = PHONE | {"locale": "sl-SI", "java_script_enabled": False}
    async with at_work(settings, *ROLES) as store, chromium() as browser, tab_of(browser, **phone) as tab:
        with Served(gateway, port) as served, Producer(settings("website", gateway_url=served.url)) as producer:
            reader = Reader(tab, store, producer)
            await unsubscribes_by_the_mail_s_own_link(reader, sink)
            await starts_and_confirms(reader, load_token_keys(gateway.key_dir / "gateway"), served.url)
            await stops_again(reader)
            await is_erased(reader)


async def unsubscribes_by_the_mail_s_own_link(reader, sink):
    tab = reader.tab
    await permitted(reader.store, reader.producer, ANA, "offers", "proposals")
    mail = await asyncio.to_thread(reader.producer.send, ANA, "offers", "offer", DATA["offer"])

    async def arrived():
        return [letter for letter in letters(sink) if letter.job == mail.job_id]

    (letter,) = await auntil(arrived, 30, "the mail arrives")
    await tab.set_content(letter.html)
    await reader.follow("Odjava")
    assert await reader.heading() == "Odjava"
    await reader.until(offers="granted")
    await reader.press("Da, odjavite me")
    assert await reader.heading() == "Odjavljeni ste"
    await reader.until(offers="withdrawn", proposals="granted")
    receipt = await reader.receipt()

    async def applied():
        return (await reader.store.messages.show(receipt) or {}).get("state") == "applied"

    await auntil(applied, 20, "the receipt is that of the withdrawal")
    await reader.follow("Vse vaše nastavitve")
    await reader.shown("Ponudba storitev", "niste prijavljeni")
    await reader.shown("Predlogi in obvestila", "prijavljeni ste")


async def starts_and_confirms(reader, keys, url):
    centre = reader.tab.url
    await reader.press("Prijavi me", "Novice")
    assert await reader.heading() == "Izbira je sprejeta"
    assert "Nova prijava: Novice." in await reader.tab.locator("main").inner_text()
    await reader.until(newsletter="pending")
    await reader.follow("Nazaj na nastavitve")
    await reader.shown("Novice", "čaka na vašo potrditev")
    token = Confirm(new_id(), (await reader.person()).pid, "newsletter", int(time.time()))
    await reader.tab.goto(f"{url}/confirm/{keys.mint(token)}")
    await reader.until(newsletter="pending")
    await reader.press("Da, potrjujem")
    assert await reader.heading() == "Hvala"
    await reader.until(newsletter="granted")
    await reader.tab.goto(centre)


async def stops_again(reader):
    await reader.press("Ustavi", "Novice")
    assert "Ustavljeno: Novice." in await reader.tab.locator("main").inner_text()
    await reader.until(newsletter="withdrawn", proposals="granted")
    await reader.follow("Nazaj na nastavitve")
    await reader.shown("Novice", "niste prijavljeni")


async def is_erased(reader):
    await reader.press("Izbriši moje podatke")
    assert await reader.heading() == "Izbris podatkov"
    assert not (await reader.person()).erased
    await reader.press("Da, izbrišite moje podatke")
    receipt = await reader.receipt()

    async def erased():
        await reader.tab.goto(reader.tab.url)
        return await reader.heading() == "Vaši podatki so izbrisani"

    await auntil(erased, 20, "the page tells of the erasure")
    assert await reader.receipt() == receipt
    assert await reader.tab.get_by_role("button").count() == 0


@contextmanager
def served_pages(settings, folder):
    """A gateway whose questions are answered: the addresses of its pages."""
    gateway = settings("gateway", outbox=folder / "outbox.sqlite")
    answer = json.dumps({"permissions": STATES}).encode()
    port = int(gateway.public_url.rpartition(":")[2])
    with Answerer(settings("answer").amqp_url, lambda _job: answer), Served(gateway, port) as served:
        served.gateway.misses._limit = 10_000
        token = load_token_keys(gateway.key_dir / "gateway").mint(Preference(new_id(), bytes(16)))
        yield {
            "stop": f"{served.url}/u/x",
            "centre": f"{served.url}/p/{token}",
            "unanswered": f"{served.url}/p/x",
            "confirm": f"{served.url}/confirm/x",
            "policy": f"{served.url}/policy",
            "missing": f"{served.url}/nothing",
        }


async def test_each_page_passes_axe_in_both_languages_light_and_dark_and_fits_320_pixels(settings, tmp_path):
    with served_pages(settings, tmp_path) as pages:
        async with chromium() as browser:
            await look_at(browser, pages, "sl", "light", pages, (("stop", 0), ("centre", 0), ("centre", -1)))
            await look_at(browser, pages, "en", "dark", ("centre",), (("centre", -1),))


async def look_at(browser, pages, language, scheme, names, pressed):
    """These pages, and what follows these buttons of them."""
    shape = PHONE | {"viewport": {"width": 320, "height": 640}, "color_scheme": scheme, "locale": language}
    context = await browser.new_context(**shape)
    tab = await context.new_page()
    for name in names:
        await tab.goto(pages[name])
        await is_accessible(tab, f"{name} {language} {scheme}", language)
    for name, button in pressed:
        await tab.goto(pages[name])
        async with tab.expect_navigation():
            await tab.get_by_role("button").nth(button).tap()
        await is_accessible(tab, f"after button {button} of {name}", language)
    await context.close()


async def is_accessible(tab, place, language):
    """axe's rules with WCAG 2.2 AA, one h1, the language, no sideways scrolling, and targets for fingers."""
    found = await Axe().run(tab, options={"resultTypes": ["violations"]})
    assert found.violations_count == 0, f"{place}: {found.generate_report()}"
    assert await tab.locator("h1").count() == 1
    assert await tab.locator("html").get_attribute("lang") == language
    assert await tab.evaluate("document.documentElement.scrollWidth") == 320, place
    heights = await tab.evaluate(
        "[...document.querySelectorAll('button, header a, footer a, a.plain')].map(each => each.offsetHeight)"
    )
    assert min(heights) >= SMALLEST, place


@pytest.mark.attack(55, guard="preklic_producers.gateway.shield:HEADERS")
async def test_the_keyboard_alone_does_everything_and_is_seen_and_nothing_is_loaded_or_kept(settings, tmp_path):
    with served_pages(settings, tmp_path) as pages:
        async with chromium() as browser, tab_of(browser, **DESKTOP, locale="en-GB") as tab:
            asked = []
            tab.on("request", lambda request: asked.append(request.url))
            await tab.goto(pages["centre"])
            await everything_by_keyboard(tab)
            assert {url.partition("?")[0] for url in asked} == {pages["centre"]}
            assert await tab.context.cookies() == []
            await no_script_runs(await tab.context.new_page(), pages["centre"])


async def everything_by_keyboard(tab):
    stops = await focused(tab, await tab.locator("a, button").count())
    assert stops[0] == ("A", "Slovenščina")
    assert ("BUTTON", "Stop Newsletter") in stops
    assert ("BUTTON", "Do not make them individual Made individual for you") in stops
    assert stops[-1] == ("A", "Privacy policy")
    await enter(tab, "button", "Stop Newsletter")
    assert "Stopped: Newsletter." in await tab.locator("main").inner_text()
    await enter(tab, "link", "Back to your preferences")
    await enter(tab, "link", "Slovenščina")
    assert await tab.get_by_role("button", name="Ustavi Novice").count() == 1


async def enter(tab, role, name):
    await tab.get_by_role(role, name=name).focus()
    async with tab.expect_navigation():
        await tab.keyboard.press("Enter")


async def no_script_runs(tab, address):
    """The page's policy holds in the browser, whatever somebody might smuggle in."""
    await tab.goto(address)
    await tab.set_content("<script>smuggled = 1</script>")
    assert await tab.evaluate("typeof smuggled") == "undefined"


async def focused(tab, count):
    """What Tab reaches, in order: element and accessible name; each is outlined while it has the focus."""
    found = []
    for _ in range(count):
        await tab.keyboard.press("Tab")
        name, text, outline = await tab.evaluate(
            """() => {const one = document.activeElement, ids = one.getAttribute('aria-labelledby');
            const label = id => document.getElementById(id).innerText;
            const text = ids ? ids.split(' ').map(label).join(' ') : one.innerText;
            return [one.tagName, text, parseFloat(getComputedStyle(one).outlineWidth)]}"""
        )
        assert outline >= 2, text
        found.append((name, text))
    return found
