"""The audit: one line in the log for each change of a device and for each change that was refused, and its count.

A line has the key's first characters, never a whole key or a secret. Who called is known from the request that the
change belongs to: `request_audit` names it, and whatever runs on its behalf finds it here.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Literal

from gateway.agent import measures
from gateway.agent.logs import fields
from gateway.agent.store import Device

log = logging.getLogger(__name__)

KEY_SHOWN = 8
"""Characters of a public key: enough to tell devices apart, too few to register one again."""


@dataclass
class Request:
    """A request that may change a device, and what was learned of it so far."""

    address: str | None
    """Who sent it, as the agent's socket sees it."""
    state: Mapping[str, Any]
    """What others keep of it; `scopes`, if it is there, is what its token is good for."""
    key: str | None = None
    reason: str | None = None
    """Why it cannot be fulfilled."""

    @property
    def caller(self) -> dict[str, object]:
        """Fields that say who called."""
        return {"address": self.address, "scopes": sorted(self.state.get("scopes", ())) or None}


_request: ContextVar[Request | None] = ContextVar("request", default=None)


@contextmanager
def on_behalf_of(request: Request) -> Iterator[None]:
    """What happens in the block, and in tasks that begin there, is on behalf of the request."""
    before = _request.set(request)
    try:
        yield
    finally:
        _request.reset(before)


def about(public_key: str) -> None:
    """The request is about the device with this key."""
    if request := _request.get():
        request.key = public_key


def reason(detail: str) -> None:
    """The request is answered by this sentence in place of what it wanted."""
    if request := _request.get():
        request.reason = detail


def registered(device: Device, *, is_new: bool, is_in: bool = True) -> None:
    """A device is in, or accepted."""
    outcome = ("new" if is_new else "renewed") if is_in else "accepted"
    measures.REGISTRATIONS.labels(outcome).inc()
    _write("registered" if is_new else "renewed", device, let_in=is_in)


def revoked(device: Device) -> None:
    """A device is shut out and forgotten."""
    measures.REVOCATIONS.labels("done").inc()
    _write("revoked", device)


def expired(devices: Iterable[Device]) -> None:
    """Devices are shut out since their time is over."""
    for device in devices:
        measures.EXPIRIES.inc()
        _write("expired", device)


def refused(request: Request, action: Literal["register", "revoke"], status: int) -> None:
    """A change was not made, and this status was answered."""
    is_unknown = action == "revoke" and status == HTTPStatus.NOT_FOUND
    is_failure = status >= HTTPStatus.INTERNAL_SERVER_ERROR and status != HTTPStatus.INSUFFICIENT_STORAGE
    counted = measures.REGISTRATIONS if action == "register" else measures.REVOCATIONS
    counted.labels("unknown" if is_unknown else "failed" if is_failure else "refused").inc()
    details = fields(action=action, key=shortened(request.key), status=status, reason=request.reason, **request.caller)
    log.warning("refused", extra=details)


def shortened(public_key: str | None) -> str | None:
    """As much of a key as a log may have."""
    return public_key[:KEY_SHOWN] if public_key else None


def done(event: str, **details: object) -> None:
    """Something was changed, on behalf of whoever called."""
    request = _request.get()
    log.info(event, extra=fields(**details, **(request.caller if request else {})))


def _write(event: str, device: Device, **more: object) -> None:
    done(
        event,
        key=shortened(device.public_key),
        protocol=device.protocol,
        name=device.name,
        expires_at=datetime.fromtimestamp(device.expires_at, UTC).isoformat() if device.expires_at else None,
        **more,
    )
