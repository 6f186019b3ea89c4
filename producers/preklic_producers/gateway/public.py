"""What stands in mails: click, pixel, one-click, preference centre, confirmation, policy. GET changes nothing.

A token that is not believed gets the same answer as a good one (attack 47): what a page says never depends on it.
"""

import base64
import datetime as dt
import time
from typing import Final
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from preklic_producers.courier import Unavailable
from preklic_producers.fields import Rejected
from preklic_producers.gateway import pages, policy_page
from preklic_producers.gateway.agents import agent_of
from preklic_producers.gateway.answered import erasure_of, states
from preklic_producers.gateway.bodies import FORM_LIMIT, read_body
from preklic_producers.gateway.context import Gateway, client, gateway_of
from preklic_producers.gateway.texts import TEXTS, Language, language_of
from preklic_producers.outbox import Parcel
from preklic_shared.clauses import House
from preklic_shared.jobs import Proof
from preklic_shared.redirects import of_somebody
from preklic_shared.telemetry import logger
from preklic_shared.tokens import Click, Confirm, Open, Preference, T, Unsubscribe

GIF: Final = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
CONFIRM_SECONDS: Final = 30 * 86_400
_MOST_FIELDS: Final = 50
_log = logger(__name__)


async def click(request: Request) -> Response:
    """Redirect to the URL that was signed, or home. The event is recorded if the person permits it."""
    gateway = gateway_of(request)
    token = believed(request, Click)
    if token is not None and of_somebody(token) and request.method == "GET":
        agent = agent_of(request.headers)
        await gateway.delivery.hand_over_event(
            gateway.drafts.track(token.message, token.pid, "clicked", link=token.link, agent=agent)
        )
    location = f"{gateway.public_url}/" if token is None else token.url
    return Response(status_code=302, headers={"Location": location})


async def pixel(request: Request) -> Response:
    """One transparent pixel, whatever the token is."""
    gateway = gateway_of(request)
    begun = time.perf_counter()
    token = believed(request, Open)
    if token is None:
        await gateway.pace.pretend()
    elif request.method == "GET":
        await gateway.delivery.hand_over_event(
            gateway.drafts.track(token.message, token.pid, "opened", agent=agent_of(request.headers))
        )
        gateway.pace.saw(time.perf_counter() - begun)
    return Response(GIF, media_type="image/gif", headers={"Cross-Origin-Resource-Policy": "cross-origin"})


async def one_click(request: Request) -> Response:
    """GET asks, with one button. POST is the withdrawal of RFC 8058: whatever the body says, 200.

    503 only when it could not be put on any disk.
    """
    gateway = gateway_of(request)
    if not acts(request):
        believed(request, Unsubscribe)
        return HTMLResponse(pages.question(language(request), "stop"))
    await read_body(request, FORM_LIMIT)
    begun = time.perf_counter()
    token = believed(request, Unsubscribe)
    parcel = None if token is None else stop(gateway, token.pid, token.message, (token.purpose,), "one_click")
    if parcel is None:
        await gateway.pace.pretend()
    elif not await taken(gateway, parcel):
        return busy(request)
    else:
        gateway.pace.saw(time.perf_counter() - begun)
    return HTMLResponse(pages.notice(language(request), "stop_title", "stop_done"))


async def preferences(request: Request) -> Response:
    """GET shows what the person permits, POST changes it."""
    return await (change_preferences(request) if acts(request) else show_preferences(request))


async def show_preferences(request: Request) -> Response:
    """What the person permits, if the store answers in time; stop buttons alone otherwise."""
    gateway = gateway_of(request)
    token = believed(request, Preference)
    answer = None if token is None else await gateway.asker.ask(gateway.drafts.ask_preferences(token.pid))
    if (told := erasure_of(answer)) is not None:
        return HTMLResponse(pages.erased(language(request), told))
    return HTMLResponse(pages.preferences(language(request), gateway.registry, states(answer)))


async def change_preferences(request: Request) -> Response:
    """Stop at once, or start: what is started waits for its confirmation."""
    gateway, spoken = gateway_of(request), language(request)
    form = parse_form(await read_body(request, FORM_LIMIT))
    if wishes := [value for name, value in form if name == "erase"]:
        return (
            await erase(request) if "yes" in wishes else HTMLResponse(pages.question(spoken, "erase", "erase", "yes"))
        )
    offered = {key for key, _ in pages.choices(gateway.registry, spoken)}
    stops = [value for name, value in form if name == "stop" and value in offered | {"all"}]
    starts = [value for name, value in form if name == "start" and value in offered]
    if len(stops) + len(starts) == 0:
        return HTMLResponse(pages.notice(spoken, "bad_title", "bad"), status_code=400)
    token = believed(request, Preference)
    if token is not None:
        purposes = "all" if "all" in stops else tuple(dict.fromkeys(stops))
        parcels = [stop(gateway, token.pid, token.message, purposes, "preference")] if stops else []
        parcels += [start(gateway, token.pid, key, spoken) for key in dict.fromkeys(starts) if not stops]
        if not all([parcel is not None and await taken(gateway, parcel) for parcel in parcels]):
            return busy(request)
    else:
        await gateway.pace.pretend()
    return HTMLResponse(pages.notice(spoken, "prefs_title", "prefs_done"))


async def erase(request: Request) -> Response:
    """The person's wish to be erased, confirmed on a page of its own (GDPR 17)."""
    gateway = gateway_of(request)
    token = believed(request, Preference)
    if token is None:
        await gateway.pace.pretend()
    elif not await taken(gateway, erasure(gateway, token)):
        return busy(request)
    return HTMLResponse(pages.notice(language(request), "erase_title", "erase_done"))


async def confirm(request: Request) -> Response:
    """Double opt-in. POST is the grant, confirmed by the token that only this address got.

    GET asks, with one button: programs that follow links in mails must not confirm anything.
    """
    gateway, spoken = gateway_of(request), language(request)
    if not acts(request):
        believed(request, Confirm)
        return HTMLResponse(pages.question(spoken, "confirm"))
    await read_body(request, FORM_LIMIT)
    token = believed(request, Confirm)
    if token is None or token.made + CONFIRM_SECONDS < time.time():
        await gateway.pace.pretend()
    elif not await taken(gateway, confirmation(gateway, token, spoken)):
        return busy(request)
    return HTMLResponse(pages.notice(spoken, "confirm_title", "confirm_done"))


async def policy(request: Request) -> Response:
    """The registry, as a person can read it; `?lang=sl|en` goes before what the browser asks for."""
    gateway = gateway_of(request)
    house = House(gateway.registry, gateway.processors, dt.datetime.now(dt.UTC).date())
    asked = request.query_params.get("lang")
    spoken: Language = "sl" if asked == "sl" else "en" if asked == "en" else language(request)
    return HTMLResponse(policy_page.policy(spoken, house), headers={"Content-Language": spoken})


def acts(request: Request) -> bool:
    """Whether the request may change anything: only a POST does (attack 49)."""
    return request.method == "POST"


def believed(request: Request, kind: type[T]) -> T | None:
    """The token of the path, or None; each miss is counted against the client."""
    token = gateway_of(request).keys.check(request.path_params["token"], kind)
    if token is None:
        gateway_of(request).misses.add(client(request))
    return token


def stop(gateway: Gateway, pid: bytes, message: str, purposes: object, source: str) -> Parcel | None:
    """The withdrawal that a page asks for; None when the registry does not know its purpose as revocable."""
    try:
        return gateway.drafts.revoke_by_token(pid, message, purposes, source=source)
    except Rejected:
        _log.error("token for a purpose that cannot be withdrawn", route=source)
        return None


def erasure(gateway: Gateway, token: Preference) -> Parcel:
    """The withdrawal of everything that also erases."""
    return gateway.drafts.revoke_by_token(token.pid, token.message, "all", source="preference", erase=True)


def start(gateway: Gateway, pid: bytes, purpose: str, spoken: Language) -> Parcel:
    """A permission that waits for its confirmation. What the person read is its wording."""
    wording = pages.start_words(spoken, gateway.registry, purpose)
    proof = Proof(wording=wording, source=f"{gateway.public_url}/p", method="form", language=spoken)
    return gateway.drafts.grant_by_token(pid, purpose, proof=proof, made=None, confirmed=False)


def confirmation(gateway: Gateway, token: Confirm, spoken: Language) -> Parcel:
    """A confirmed permission."""
    proof = Proof(
        wording=f"{TEXTS[spoken]['confirm_ask']} {TEXTS[spoken]['confirm_button']}",
        source=f"{gateway.public_url}/confirm",
        method="double_opt_in",
        language=spoken,
        note=f"confirms {token.grant}",
    )
    return gateway.drafts.grant_by_token(token.pid, token.purpose, proof=proof, made=token.made * 1000, confirmed=True)


async def taken(gateway: Gateway, parcel: Parcel) -> bool:
    """Whether broker or outbox has it."""
    try:
        await gateway.hand_over(parcel)
    except Unavailable:
        _log.error("neither broker nor outbox takes jobs")
        return False
    return True


def busy(request: Request) -> Response:
    """503: nothing was taken, and the page says so."""
    return HTMLResponse(
        pages.notice(language(request), "busy_title", "busy"), status_code=503, headers={"Retry-After": "60"}
    )


def language(request: Request) -> Language:
    """The language of the answer."""
    return language_of(request.headers.get("accept-language", ""))


def parse_form(body: bytes) -> list[tuple[str, str]]:
    """The fields of an urlencoded form; none when it is not one."""
    try:
        return parse_qsl(body.decode("ascii"), max_num_fields=_MOST_FIELDS)
    except (ValueError, UnicodeDecodeError):
        return []
