"""What stands in mails: click, pixel, one-click, preference centre, confirmation, policy. GET changes nothing.

A token that is not believed gets the same answer as a good one (attack 47): what a page says never depends on it.
"""

import base64
import datetime as dt
import time
from collections.abc import Mapping
from typing import Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from preklic_producers.courier import Unavailable
from preklic_producers.fields import Rejected
from preklic_producers.gateway import pages, policy_page
from preklic_producers.gateway.agents import agent_of
from preklic_producers.gateway.bodies import FORM_LIMIT, read_body
from preklic_producers.gateway.context import Gateway, client, gateway_of
from preklic_producers.gateway.lookalikes import centre_link
from preklic_producers.gateway.spoken import face
from preklic_producers.gateway.texts import TEXTS, Language
from preklic_producers.outbox import Parcel
from preklic_shared.clauses import House
from preklic_shared.ids import new_id
from preklic_shared.jobs import Proof
from preklic_shared.redirects import of_somebody
from preklic_shared.telemetry import logger
from preklic_shared.tokens import Click, Confirm, Open, T, Unsubscribe

GIF: Final = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
CONFIRM_SECONDS: Final = 30 * 86_400
_log = logger(__name__)


async def click(request: Request) -> Response:
    """Redirect to the URL that was signed, or home. The event is recorded if the person permits it."""
    gateway = gateway_of(request)
    token = believed(request, Click)
    if token is not None and request.method == "GET":
        await seen(gateway, token, request.headers)
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
        await seen(gateway, token, request.headers)
        gateway.pace.saw(time.perf_counter() - begun)
    return Response(GIF, media_type="image/gif", headers={"Cross-Origin-Resource-Policy": "cross-origin"})


async def seen(gateway: Gateway, token: Click | Open, headers: Mapping[str, str]) -> None:
    """Hand over the event of a believed token; `headers` are the request's, their names in lower case.

    A redirect to a partner is of nobody's mail: then there is none.
    """
    if isinstance(token, Open):
        parcel = gateway.drafts.track(token.message, token.pid, "opened", agent=agent_of(headers))
    elif of_somebody(token):
        agent = agent_of(headers)
        parcel = gateway.drafts.track(token.message, token.pid, "clicked", link=token.link, agent=agent)
    else:
        return
    await gateway.delivery.hand_over_event(parcel)


async def one_click(request: Request) -> Response:
    """GET asks, with one button. POST is the withdrawal of RFC 8058: whatever the body says, 200.

    503 only when it could not be put on any disk.
    """
    gateway = gateway_of(request)
    if not acts(request):
        believed(request, Unsubscribe)
        return HTMLResponse(pages.question(face(request), "stop"))
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
    receipt = new_id() if parcel is None else parcel.job
    centre = f"{gateway.public_url}/p/{centre_link(gateway.keys, request.path_params['token'], token)}"
    return HTMLResponse(pages.done(face(request), "stop", receipt, centre=centre))


async def confirm(request: Request) -> Response:
    """Double opt-in. POST is the grant, confirmed by the token that only this address got.

    GET asks, with one button: programs that follow links in mails must not confirm anything.
    """
    gateway = gateway_of(request)
    if not acts(request):
        believed(request, Confirm)
        return HTMLResponse(pages.question(face(request), "confirm"))
    await read_body(request, FORM_LIMIT)
    token, receipt = believed(request, Confirm), new_id()
    if token is None or token.made + CONFIRM_SECONDS < time.time():
        await gateway.pace.pretend()
    else:
        parcel = confirmation(gateway, token, face(request).language)
        if not await taken(gateway, parcel):
            return busy(request)
        receipt = parcel.job
    return HTMLResponse(pages.done(face(request), "confirm", receipt))


async def policy(request: Request) -> Response:
    """The registry, as a person can read it."""
    gateway = gateway_of(request)
    house = House(gateway.registry, gateway.processors, dt.datetime.now(dt.UTC).date())
    shown = face(request)
    return HTMLResponse(policy_page.policy(shown, house), headers={"Content-Language": shown.language})


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
        pages.notice(face(request), "busy_title", "busy"), status_code=503, headers={"Retry-After": "60"}
    )
