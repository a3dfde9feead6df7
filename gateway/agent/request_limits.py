"""Limits on request bodies, as ASGI middleware, so that no caller can fill the memory or hold a request open."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.agent.errors import BodyTimeoutError, BodyTooLargeError
from gateway.agent.problems import problem_response

MAX_BODY_BYTES = 16 * 1024
MAX_DISCARDED_BYTES = 4 * 1024 * 1024
"""More than the limit is still read up to here, thrown away, so that the caller gets to read the answer."""
BODY_DEADLINE_S = 10.0


class CallerGoneError(Exception):
    """The connection ended before the body did."""


class BodyLimits:
    """Reads the body before the application does: 413 if it is too large, 408 if it does not come."""

    def __init__(self, app: ASGIApp, deadline_s: float = BODY_DEADLINE_S) -> None:
        self._app = app
        self._deadline_s = deadline_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            async with asyncio.timeout(self._deadline_s):
                body = await _read(receive)
        except CallerGoneError:
            return  # half a request is none
        except TimeoutError:
            late = BodyTimeoutError(f"the request's body did not arrive within {self._deadline_s:.0f} s")
            await problem_response(late)(scope, receive, send)
            return
        except BodyTooLargeError as error:
            await problem_response(error)(scope, receive, send)
            return
        messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            return messages.pop() if messages else await receive()

        await self._app(scope, replay, send)


async def _read(receive: Receive) -> bytes:
    body, size, more = b"", 0, True
    while more and size <= MAX_DISCARDED_BYTES:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise CallerGoneError
        part = message.get("body", b"")
        size += len(part)
        body = body + part if size <= MAX_BODY_BYTES else b""
        more = message.get("more_body", False)
    if size > MAX_BODY_BYTES:
        raise BodyTooLargeError(f"the request's body is larger than {MAX_BODY_BYTES} bytes")
    return body
