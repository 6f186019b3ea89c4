"""Starlette doing nothing, on uvicorn with uvloop and httptools: `python -m bench.peers.empty_site PORT`."""

import sys

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


async def nothing(_request: Request) -> Response:
    return Response(status_code=204)


app = Starlette(routes=[Route("/c/{token}", nothing)])

if __name__ == "__main__":
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
    )
