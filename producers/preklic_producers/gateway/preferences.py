"""`GET|POST /p/{token}`: the preference centre. GET shows what the person permits, POST changes it."""

from typing import Final
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from preklic_producers.gateway import centre, pages
from preklic_producers.gateway.answered import erasure_of, states
from preklic_producers.gateway.bodies import FORM_LIMIT, read_body
from preklic_producers.gateway.context import Gateway, gateway_of
from preklic_producers.gateway.public import acts, believed, busy, stop, taken
from preklic_producers.gateway.spoken import face
from preklic_producers.gateway.texts import Language
from preklic_producers.outbox import Parcel
from preklic_shared.ids import new_id
from preklic_shared.jobs import Proof
from preklic_shared.registry import Registry
from preklic_shared.tokens import Preference

_MOST_FIELDS: Final = 50


async def preferences(request: Request) -> Response:
    """GET shows what the person permits, POST changes it."""
    return await (change(request) if acts(request) else show(request))


async def show(request: Request) -> Response:
    """What the person permits, if the store answers in time; stop buttons alone otherwise."""
    gateway = gateway_of(request)
    token = believed(request, Preference)
    answer = None if token is None else await gateway.asker.ask(gateway.drafts.ask_preferences(token.pid))
    if (told := erasure_of(answer)) is not None:
        return HTMLResponse(centre.erased(face(request), told))
    return HTMLResponse(centre.preferences(face(request), gateway.registry, states(answer)))


async def change(request: Request) -> Response:
    """Stop at once, or start: what is started waits for its confirmation."""
    gateway, shown = gateway_of(request), face(request)
    form = parse_form(await read_body(request, FORM_LIMIT))
    if wishes := [value for name, value in form if name == "erase"]:
        return await erase(request) if "yes" in wishes else HTMLResponse(pages.question(shown, "erase", "erase", "yes"))
    offered = {key for key, _ in centre.choices(gateway.registry, shown.language)}
    stops = list(
        dict.fromkeys(value for name, value in form if name == "stop" and (value in offered or value == "all"))
    )
    starts = list(dict.fromkeys(value for name, value in form if name == "start" and value in offered and not stops))
    if not stops and not starts:
        return HTMLResponse(pages.notice(shown, "bad_title", "bad"), status_code=400)
    token, receipt = believed(request, Preference), new_id()
    if token is None:
        await gateway.pace.pretend()
    else:
        parcels = wanted(gateway, token, shown.language, stops, starts)
        if not all([await taken(gateway, parcel) for parcel in parcels]) or not parcels:
            return busy(request)
        receipt = parcels[0].job
    return HTMLResponse(pages.done(shown, "prefs", receipt, lines=chosen(shown, gateway.registry, stops, starts)))


def wanted(gateway: Gateway, token: Preference, spoken: Language, stops: list[str], starts: list[str]) -> list[Parcel]:
    """The jobs of a form: one withdrawal of all that it stops, or a permission for each that it starts."""
    if not stops:
        return [start(gateway, token.pid, key, spoken) for key in starts]
    no = stop(gateway, token.pid, token.message, "all" if "all" in stops else tuple(stops), "preference")
    return [] if no is None else [no]


def chosen(shown: pages.Face, registry: Registry, stops: list[str], starts: list[str]) -> list[str]:
    """What the form chose, and from when on it holds, in words. A yes right after a no is none: clocks differ."""
    words, offered = shown.words, dict(centre.choices(registry, shown.language))
    if stops:
        titles = [words["prefs_everything"]] if "all" in stops else [offered[key] for key in stops]
        return [words["prefs_stopped"].format(titles="; ".join(titles)), words["prefs_stop_holds"]]
    asks = any(purpose.double_opt_in for key in starts if (purpose := registry.get(key)) is not None)
    holds = words["prefs_start_confirm" if asks else "prefs_start_now"]
    titles = [offered[key] for key in starts]
    return [words["prefs_started"].format(titles="; ".join(titles)), holds, words["prefs_start_wait"]]


async def erase(request: Request) -> Response:
    """The person's wish to be erased, confirmed on a page of its own (GDPR 17)."""
    gateway = gateway_of(request)
    token, receipt = believed(request, Preference), new_id()
    if token is None:
        await gateway.pace.pretend()
    else:
        parcel = erasure(gateway, token)
        if not await taken(gateway, parcel):
            return busy(request)
        receipt = parcel.job
    return HTMLResponse(pages.done(face(request), "erase", receipt))


def erasure(gateway: Gateway, token: Preference) -> Parcel:
    """The withdrawal of everything that also erases."""
    return gateway.drafts.revoke_by_token(token.pid, token.message, "all", source="preference", erase=True)


def start(gateway: Gateway, pid: bytes, purpose: str, spoken: Language) -> Parcel:
    """A permission that waits for its confirmation. What the person read is its wording."""
    wording = centre.start_words(spoken, gateway.registry, purpose)
    proof = Proof(wording=wording, source=f"{gateway.public_url}/p", method="form", language=spoken)
    return gateway.drafts.grant_by_token(pid, purpose, proof=proof, made=None, confirmed=False)


def parse_form(body: bytes) -> list[tuple[str, str]]:
    """The fields of an urlencoded form; none when it is not one."""
    try:
        return parse_qsl(body.decode("ascii"), max_num_fields=_MOST_FIELDS)
    except (ValueError, UnicodeDecodeError):
        return []
