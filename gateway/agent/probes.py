"""What a kubelet and Prometheus ask, on a listener of its own, where no caller of the API is in their way."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from gateway.agent import problems

SCRAPE_IS_GOOD_FOR_S = 1.0


def create_probes(
    find_problems: Callable[[], Awaitable[list[str]]],
    registry: CollectorRegistry,
    warnings: Callable[[], list[str]] = list,
) -> FastAPI:
    """The application; `find_problems` tells what keeps the gateway from being ready, `warnings` what does not."""
    app = FastAPI(title="Meshgate gateway's probes", version="1", openapi_url=None, docs_url=None, redoc_url=None)
    problems.install(app)
    scrape = Scrape(registry)

    @app.get("/healthz")
    async def alive() -> dict[str, str]:
        """The agent runs."""
        return {"status": "alive"}

    @app.get("/readyz", responses={503: {"description": "What is missing."}})
    async def ready() -> JSONResponse:
        """The gateway carries traffic."""
        if missing := await find_problems():
            return problems.problem(HTTPStatus.SERVICE_UNAVAILABLE, "; ".join(missing), missing=missing)
        return JSONResponse({"status": "ready", **({"warnings": told} if (told := warnings()) else {})})

    @app.get("/metrics")
    async def metrics() -> Response:
        """Sums over all devices, for Prometheus; a second old at most."""
        return Response(await scrape.page(), media_type=CONTENT_TYPE_LATEST)

    return app


class Scrape:
    """The metrics' page. It is made once a second at most, however many ask: its cost grows with the devices."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._made = asyncio.Lock()
        self._page, self._good_until = b"", 0.0

    async def page(self) -> bytes:
        """In Prometheus' text format."""
        async with self._made:
            if time.monotonic() >= self._good_until:
                self._page = await asyncio.to_thread(generate_latest, self._registry)
                self._good_until = time.monotonic() + SCRAPE_IS_GOOD_FOR_S
            return self._page
