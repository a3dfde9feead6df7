"""Asks etcd by JSON over HTTP (its gRPC gateway): one member at a time, and the next when that one fails.

Keys and values are base64, 64-bit numbers are text, and whatever is zero or false is left out (etcd: rpc.proto).
"""

import asyncio
import json
import ssl
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any

import httpx

from gateway.agent.stores.etcd.complaints import CompactedError, Complaint, EtcdError, Kind, of_all, of_answer

Answer = dict[str, Any]

ATTEMPT_S = 2.0
"""One member has this time to answer a call."""
CONNECT_S = 1.0
"""To be there, and to say whether it knows of a leader."""
DEADLINE_S = 4.0
"""After this a call has failed. etcd finds a new leader within two seconds."""
PAUSE_S = 0.1
LOOK_EVERY_S = 1.0
"""Between two looks whether the member that is watched still knows of a leader."""
SILENT = Complaint(Kind.SILENT, "no answer in time")
_STATUS = "/v3/maintenance/status"


class Etcd:
    """The members of one etcd. All that fails is an EtcdError."""

    def __init__(self, endpoints: Sequence[str], tls: ssl.SSLContext | None = None) -> None:
        """`endpoints` are URLs of members; `tls` is for those of https."""
        self._endpoints = list(endpoints)
        self._options: dict[str, Any] = {
            "verify": tls or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),  # trusts nobody
            "trust_env": False,
            "timeout": httpx.Timeout(ATTEMPT_S, connect=CONNECT_S),
        }
        self._http = httpx.Client(**self._options)

    def close(self) -> None:
        """End the connections of `call`."""
        self._http.close()

    @asynccontextmanager
    async def beside(self) -> AsyncIterator[None]:
        """During this block `watch` and `probe` can be used, from the event loop."""
        async with httpx.AsyncClient(**self._options) as self._watching:
            yield

    def call(self, path: str, body: Answer) -> Answer:
        """The answer of whichever member gives one, within DEADLINE_S."""
        until = time.monotonic() + DEADLINE_S
        while True:
            complaints: dict[str, Complaint] = {}
            for endpoint in tuple(self._endpoints):
                found = self._ask(endpoint, path, body)
                if not isinstance(found, Complaint):
                    return found
                complaints[endpoint] = found
                self._prefer_others(endpoint)
                if time.monotonic() >= until:
                    break
            may_pass = any(one.kind in {Kind.LEADERLESS, Kind.SILENT} for one in complaints.values())
            if not may_pass or time.monotonic() >= until:
                raise of_all(complaints)
            time.sleep(PAUSE_S)

    def _ask(self, endpoint: str, path: str, body: Answer) -> Answer | Complaint:
        try:
            answer = self._http.post(f"{endpoint}{path}", json=body)
        except httpx.ReadTimeout:
            return self._why_silent(endpoint)
        except httpx.HTTPError as error:
            return _unreachable(error)
        return _read(answer)

    def _why_silent(self, endpoint: str) -> Complaint:
        """A member without a leader answers after seven seconds, but tells at once that it has none."""
        try:
            return _leaderless(_read(self._http.post(f"{endpoint}{_STATUS}", json={}, timeout=CONNECT_S))) or SILENT
        except httpx.HTTPError:
            return SILENT

    async def probe(self, path: str, body: Answer) -> Answer:
        """The same from the event loop, without a second round and, where no leader is known, without a pause."""
        complaints: dict[str, Complaint] = {}
        for endpoint in tuple(self._endpoints):
            found = await self._ask_beside(endpoint, path, body)
            if not isinstance(found, Complaint):
                return found
            complaints[endpoint] = found
        raise of_all(complaints)

    async def _ask_beside(self, endpoint: str, path: str, body: Answer) -> Answer | Complaint:
        if complaint := await self._leader_beside(endpoint):
            return complaint
        try:
            return _read(await self._watching.post(f"{endpoint}{path}", json=body))
        except httpx.ReadTimeout:
            return SILENT
        except httpx.HTTPError as error:
            return _unreachable(error)

    async def _leader_beside(self, endpoint: str) -> Complaint | None:
        """What is amiss with a member that watches for us; None if it knows of a leader."""
        try:
            return _leaderless(_read(await self._watching.post(f"{endpoint}{_STATUS}", json={}, timeout=CONNECT_S)))
        except httpx.HTTPError as error:
            return _unreachable(error)

    async def watch(self, key: str, range_end: str, after: int) -> AsyncGenerator[Answer | None, None]:
        """What changes in a range of keys, from the first revision above `after`: WatchResponses (rpc.proto).

        None comes every LOOK_EVERY_S while the member knows of a leader. CompactedError where the changes are gone.
        """
        endpoint = self._endpoints[0]
        body = {"create_request": {"key": key, "range_end": range_end, "start_revision": str(after + 1)}}
        try:
            timeout = httpx.Timeout(None, connect=CONNECT_S)
            async with (
                self._watching.stream("POST", f"{endpoint}/v3/watch", json=body, timeout=timeout) as stream,
                aclosing(self._lines(endpoint, stream)) as lines,
            ):
                async for line in lines:
                    yield _watched(line, after) if line else None
            complaint = Complaint(Kind.UNREACHABLE, "the watch was ended")
        except httpx.HTTPError as error:
            complaint = _unreachable(error)
        except _LostError as error:
            complaint = error.complaint
        self._prefer_others(endpoint)
        raise EtcdError(f"{endpoint}: {complaint.text}")

    async def _lines(self, endpoint: str, stream: httpx.Response) -> AsyncGenerator[str, None]:
        """The stream's lines, and an empty one after each look."""
        lines = aiter(stream.aiter_lines())
        look_at = time.monotonic() + LOOK_EVERY_S
        coming = asyncio.ensure_future(anext(lines, None))
        try:
            while True:
                await asyncio.wait({coming}, timeout=max(0.0, look_at - time.monotonic()))
                if coming.done():
                    if (line := await coming) is None:
                        return
                    yield line
                    coming = asyncio.ensure_future(anext(lines, None))
                if time.monotonic() >= look_at:
                    if complaint := await self._leader_beside(endpoint):
                        raise _LostError(complaint)
                    yield ""
                    look_at = time.monotonic() + LOOK_EVERY_S
        finally:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)

    def _prefer_others(self, endpoint: str) -> None:
        """Ask this member last from now on."""
        if self._endpoints[0] == endpoint:
            self._endpoints = [*self._endpoints[1:], endpoint]


class _LostError(Exception):
    """The member that is watched tells nothing any more."""

    def __init__(self, complaint: Complaint) -> None:
        super().__init__(complaint.text)
        self.complaint = complaint


def _read(answer: httpx.Response) -> Answer | Complaint:
    try:
        found: Answer = answer.json()
        if answer.is_success:
            return found
        return of_answer(int(found.get("code", 0)), str(found.get("message", found.get("error"))))
    except (ValueError, AttributeError, TypeError):
        return Complaint(Kind.REFUSED, f"HTTP {answer.status_code}, and not in JSON")


def _leaderless(status: Answer | Complaint) -> Complaint | None:
    if isinstance(status, Complaint):
        return status
    return None if "leader" in status else Complaint(Kind.LEADERLESS, "it knows of no leader")


def _unreachable(error: httpx.HTTPError) -> Complaint:
    if isinstance(error, httpx.TimeoutException):
        return Complaint(Kind.UNREACHABLE, "no answer in time")
    return Complaint(Kind.UNREACHABLE, str(error) or type(error).__name__)


def _watched(line: str, after: int) -> Answer:
    message = json.loads(line)
    if "error" in message:
        error = message["error"]
        raise _LostError(of_answer(int(error.get("grpc_code", 0)), str(error.get("message"))))
    result: Answer = message["result"]
    if result.get("canceled"):
        if "compact_revision" in result:
            raise CompactedError("etcd has compacted the changes after the last one that was heard")
        raise _LostError(Complaint(Kind.REFUSED, str(result.get("cancel_reason", "the watch was refused"))))
    if result.get("created") and int(result["header"]["revision"]) < after:
        raise CompactedError("etcd has gone back behind the last change that was heard")
    return result
