"""Health for orchestrators and metrics for Prometheus."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from preklic_producers.fields import Rejected
from preklic_producers.gateway.context import gateway_of
from preklic_producers.outbox import OutboxFailed
from preklic_shared import metrics


async def healthz(_request: Request) -> Response:
    """200 while the event loop turns."""
    return JSONResponse({"status": "ok"})


async def readyz(request: Request) -> Response:
    """200 when a withdrawal would be kept: the outbox takes it, or the broker. The broker's absence is no reason."""
    gateway = gateway_of(request)
    checks = {"broker": gateway.publisher.connected, "outbox": True, "sealing_keys": True}
    try:
        await gateway.delivery.measure()
    except OutboxFailed:
        checks["outbox"] = False
    try:
        gateway.drafts.ask_customer("ready@example.com")
    except Rejected:
        checks["sealing_keys"] = False
    return JSONResponse({"checks": checks}, status_code=200 if checks["outbox"] else 503)


async def show_metrics(request: Request) -> Response:
    """The metrics in Prometheus's text format."""
    try:
        await gateway_of(request).delivery.measure()
    except OutboxFailed:
        metrics.OUTBOX_AGE.set(float("nan"))
    return Response(metrics.exposition(), media_type=metrics.CONTENT_TYPE)
