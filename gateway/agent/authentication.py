"""Who calls, as ASGI middleware: nothing of a request but its head is looked at before its token was found good."""

from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.agent.errors import UnauthorizedError
from gateway.agent.problems import problem_response

Grant = Callable[[str], frozenset[str] | None]
"""The scopes of a bearer token; None if it is not good."""


class Authentication:
    """401 to whoever has no good token. Routes find what the token is good for in `request.state.scopes`."""

    def __init__(self, app: ASGIApp, grant: Grant) -> None:
        self._app = app
        self._grant = grant

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scopes = self._scopes(Headers(scope=scope).get("authorization", ""))
        state = scope.setdefault("state", {})
        caller = state.get("caller")  # the Connection; there is none where no server is
        if scopes is None:
            if caller is not None:
                caller.distrust()
            error = UnauthorizedError("the header 'Authorization: Bearer TOKEN' with a token of the gateway is needed")
            await problem_response(error)(scope, receive, send)
            return
        if caller is not None:
            caller.trust()
        state["scopes"] = scopes
        await self._app(scope, receive, send)

    def _scopes(self, authorization: str) -> frozenset[str] | None:
        scheme, _, credentials = authorization.partition(" ")
        return self._grant(credentials.strip()) if scheme.lower() == "bearer" else None
