"""Reads what a Headscale server answered: the payload, or the error that it stands for.

Up to 0.29 errors are grpc-gateway's {"code", "message", "details"}; later ones are RFC 9457 problems. Many of the
older ones are a 500 whose text alone says what happened.
"""

from typing import Any

import httpx

from gateway.headscale.errors import (
    ConflictError,
    HeadscaleError,
    NoSuchCallError,
    NotFoundError,
    RefusedError,
    UnauthorizedError,
    UnavailableError,
    UnexpectedAnswerError,
)
from gateway.headscale.redaction import excerpt

_LATER = {429, 502, 503, 504}
_EXISTS = ("UNIQUE constraint", "duplicate key", "already exists")
_IN_USE = "not empty"


def payload(server: str, response: httpx.Response) -> dict[str, Any]:
    """The JSON object of a success; raises the HeadscaleError that anything else stands for."""
    document = _document(response)
    if response.is_success and document is not None:
        return document
    raise _error(f"Headscale at {server}", response, document)


def _error(who: str, response: httpx.Response, document: dict[str, Any] | None) -> HeadscaleError:
    status = response.status_code
    # 0.23 answers 500 to a key it does not know, and 401 only to one that expired.
    if status == 401 or (status == 500 and response.text.strip() == "Unauthorized"):
        return UnauthorizedError(f"{who} does not accept the API key ({status}): it is unknown, expired or deleted.")
    if status in _LATER:
        return UnavailableError(f"{who} is not available ({status} {response.reason_phrase}).")
    text = None if document is None else _text(document)
    if text is None:
        return UnexpectedAnswerError(
            f"{who} gave an answer that is not Headscale's ({status}: {excerpt(response.text) or 'empty'}); "
            "check that the URL leads to Headscale itself."
        )
    says = f"{who} says: {excerpt(text)} ({status})."
    if status == 409 or any(sign in text for sign in _EXISTS) or _IN_USE in text:
        return ConflictError(says)
    if status == 404 and text == "Not Found":  # what is missing has a name in it otherwise
        return NoSuchCallError(says)
    if status == 404 or "not found" in text.lower():
        return NotFoundError(says)
    return RefusedError(says)


def _document(response: httpx.Response) -> dict[str, Any] | None:
    try:
        document = response.json()
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def _text(document: dict[str, Any]) -> str | None:
    """The error's text in either form; None when the document has neither."""
    if isinstance(message := document.get("message"), str):
        return message
    if not isinstance(detail := document.get("detail", document.get("title")), str):
        return None
    details = [str(error.get("message")) for error in document.get("errors") or [] if isinstance(error, dict)]
    return "; ".join([detail, *details])
