"""How the gateway speaks to one reader: the language of a page, by its address or by what the browser asks for."""

from starlette.requests import Request

from preklic_producers.gateway.context import gateway_of
from preklic_producers.gateway.pages import Face
from preklic_producers.gateway.texts import Language, language_of


def face(request: Request) -> Face:
    """Whose page it is and its language."""
    gateway = gateway_of(request)
    return Face(language(request), gateway.registry.controller, gateway.public_url)


def language(request: Request) -> Language:
    """`?lang=sl|en` goes before Accept-Language."""
    asked = request.query_params.get("lang")
    if asked == "sl":
        return "sl"
    return "en" if asked == "en" else language_of(request.headers.get("accept-language", ""))
