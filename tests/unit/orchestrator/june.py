"""The reference orchestrator in this process, and an app of a user before it."""

import asyncio
import base64
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import httpx
import respx
from fastapi import FastAPI

from examples.orchestrator.orchestrator import create_app

KEY = base64.b64encode(b"\xfb\xef\xbe\xff" * 8).decode()
"""A device's, with all that a query has to encode."""
ADAS = hashlib.sha256(b"ada").hexdigest()[:24]
"""How services know ada."""


class June:
    """The running service, and an app of a user before it."""

    def __init__(self, service: FastAPI, http: httpx.AsyncClient) -> None:
        self.service = service
        self.http = http

    async def register(
        self, name: str | None = "phone", user: str = "ada", system: str | None = None, **query: str
    ) -> httpx.Response:
        body = {"device_name": name, "device_os": system}
        return await self._ask("POST", "register", user, json=body, params=query)

    async def unregister(self, device_id: str = quote(KEY, safe=""), user: str = "ada") -> httpx.Response:
        return await self._ask("DELETE", f"unregister?device_id={device_id}", user)

    async def _ask(self, method: str, call: str, user: str, **content: Any) -> httpx.Response:  # noqa: ANN401
        headers = {"X-Forwarded-User": user}
        return await self.http.request(method, f"/api/v1/device/{call}", headers=headers, **content)

    async def until_taken_back(self) -> None:
        await asyncio.gather(*self.service.state.gateways.taking_back)


@asynccontextmanager
async def running() -> AsyncIterator[June]:
    service = create_app()
    transport = httpx.ASGITransport(service)
    async with (
        service.router.lifespan_context(service),
        httpx.AsyncClient(transport=transport, base_url="http://june.test", trust_env=False) as http,
    ):
        yield June(service, http)


def sent(route: respx.Route) -> dict[str, Any]:
    """What a service was told last."""
    body: dict[str, Any] = json.loads(route.calls.last.request.content)
    return body
