"""Serves the gateway with uvicorn, behind the limits that its public face needs."""

from typing import Final

import uvicorn

from preklic_producers.gateway.app import create_app
from preklic_shared.collector import spare_the_collector
from preklic_shared.settings import Settings

CONNECTIONS: Final = 2000
IDLE_SECONDS: Final = 15
STOP_SECONDS: Final = 10


def server(settings: Settings, host: str, port: int) -> uvicorn.Server:
    """A server that is ready to run; what is wrong with the settings is raised here.

    No access log: the paths are tokens. Forwarded headers are read by `clients`, from trusted proxies alone.
    """
    return uvicorn.Server(
        uvicorn.Config(
            create_app(settings),
            host=host,
            port=port,
            http="httptools",
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            limit_concurrency=CONNECTIONS,
            timeout_keep_alive=IDLE_SECONDS,
            timeout_graceful_shutdown=STOP_SECONDS,
        )
    )


def serve(settings: Settings, host: str = "127.0.0.1", port: int = 8080) -> None:
    """Serve until SIGTERM or SIGINT. What is in the outbox then goes out at the next start."""
    made = server(settings, host, port)
    spare_the_collector()
    made.run()
