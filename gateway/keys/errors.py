"""What can be wrong with a request to the key service, one class per HTTP status that a caller acts on."""

from http import HTTPStatus

from gateway.agent.errors import RequestError


class UnknownError(RequestError):
    """The owner has no such device."""

    status = HTTPStatus.NOT_FOUND

    def __init__(self) -> None:
        super().__init__("this owner has no such device; a key that was not used in time is one no more", "id")


class OwnerFullError(RequestError):
    """The owner has as many devices as one may have."""

    status = HTTPStatus.CONFLICT

    def __init__(self, most: int) -> None:
        super().__init__(f"this owner has {most} devices, and may have no more; remove one", "owner")


class TooManyError(RequestError):
    """The caller has had too many keys in the last minute."""

    status = HTTPStatus.TOO_MANY_REQUESTS

    def __init__(self, most: int) -> None:
        super().__init__(f"{most} keys were minted for this address within a minute; wait one")


class HeadscaleDownError(RequestError):
    """Headscale does not answer, or not as it should."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
