"""Requests that change devices, as ASGI middleware: who calls is told to the audit, and what was refused is written.

What strangers send is counted, and told once a minute with its last address: a flood of it must not fill the log.
"""

import logging
import time
from collections.abc import Callable
from typing import Literal

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.agent import audit
from gateway.agent.logs import fields

log = logging.getLogger(__name__)

ACTIONS: dict[str, Literal["register", "revoke"]] = {"POST": "register", "DELETE": "revoke"}
STRANGERS = frozenset({401, 408, 413, 429})
"""Answers that need no good token."""
STRANGERS_TOLD_EVERY_S = 60.0


class RequestAudit:
    """Sees every request before all others do, and its answer's status after them."""

    def __init__(self, app: ASGIApp, path: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._app = app
        self._path = path
        self._clock = clock
        self._strangers = 0
        self._told_at = -STRANGERS_TOLD_EVERY_S

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        is_change = scope["type"] == "http" and scope["path"].startswith(self._path)
        action = ACTIONS.get(scope["method"]) if is_change else None
        if action is None:
            await self._app(scope, receive, send)
            return
        client = scope.get("client")
        request = audit.Request(client[0] if client else None, scope.setdefault("state", {}))
        status = 500

        async def send_and_see(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            with audit.on_behalf_of(request):
                await self._app(scope, receive, send_and_see)
        finally:
            if status in STRANGERS:
                self._stranger(request)
            elif status >= 400:
                audit.refused(request, action, status)

    def _stranger(self, request: audit.Request) -> None:
        self._strangers += 1
        if self._clock() - self._told_at >= STRANGERS_TOLD_EVERY_S:
            details = fields(count=self._strangers, reason=request.reason, address=request.address)
            log.warning("strangers refused", extra=details)
            self._strangers, self._told_at = 0, self._clock()
