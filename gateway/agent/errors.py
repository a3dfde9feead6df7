"""What can be wrong with a request, one class per HTTP status that a caller acts on.

RequestError ┬ UnauthorizedError 401
             ├ ScopeError 403
             ├ DeviceUnknownError 404
             ├ BodyTimeoutError 408
             ├ BodyTooLargeError 413
             ├ InvalidFieldError 422
             ├ UnavailableError 503
             └ PoolFullError 507
"""

from http import HTTPStatus
from typing import ClassVar


class RequestError(Exception):
    """A request that cannot be fulfilled; its text is one sentence for the caller, `field` names the input."""

    status: ClassVar[HTTPStatus]

    def __init__(self, detail: str, field: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.field = field


class UnauthorizedError(RequestError):
    """The bearer token is missing or is not the gateway's."""

    status = HTTPStatus.UNAUTHORIZED


class ScopeError(RequestError):
    """The bearer token is good, but not for this call: `scope` is what it lacks."""

    status = HTTPStatus.FORBIDDEN

    def __init__(self, scope: str) -> None:
        super().__init__(f"the token lacks the scope {scope!r}, which this call needs")
        self.scope = scope


class DeviceUnknownError(RequestError):
    """No device has this public key."""

    status = HTTPStatus.NOT_FOUND

    def __init__(self) -> None:
        super().__init__("no peer has this public key", "public_key")


class BodyTimeoutError(RequestError):
    """The request's body did not arrive in time."""

    status = HTTPStatus.REQUEST_TIMEOUT


class BodyTooLargeError(RequestError):
    """The request's body is larger than any device needs."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


class InvalidFieldError(RequestError):
    """A field is well-formed but cannot be used."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY


class UnavailableError(RequestError):
    """A device is not gone for good yet; the same request can succeed in a second."""

    status = HTTPStatus.SERVICE_UNAVAILABLE


class PoolFullError(RequestError):
    """Every address of the client networks is taken."""

    status = HTTPStatus.INSUFFICIENT_STORAGE
