"""Errors as callers see them: RFC 9457 problem+json with the field's name, one sentence each, never a traceback."""

import logging
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from gateway.agent import audit
from gateway.agent.errors import RequestError, UnauthorizedError, UnavailableError
from gateway.agent.store import StoreError

log = logging.getLogger(__name__)


def problem(status: HTTPStatus, detail: str, headers: dict[str, str] | None = None, **more: object) -> JSONResponse:
    """A problem+json answer; members that are None are left out."""
    audit.reason(detail)
    members = {"type": "about:blank", "title": status.phrase, "status": status.value, "detail": detail, **more}
    return JSONResponse(
        {name: member for name, member in members.items() if member is not None},
        status_code=status.value,
        headers=headers,
        media_type="application/problem+json",
    )


def problem_response(error: RequestError) -> JSONResponse:
    """The answer to a request that cannot be fulfilled."""
    headers = {}
    if isinstance(error, UnauthorizedError):
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, UnavailableError):
        headers["Retry-After"] = "1"
    return problem(error.status, error.detail, headers, field=error.field)


def install(app: FastAPI) -> None:
    """Make every error of the application a problem+json answer."""

    @app.exception_handler(RequestError)
    async def _request_error(_: Request, error: RequestError) -> JSONResponse:
        return problem_response(error)

    @app.exception_handler(RequestValidationError)
    async def _invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        errors = [_field_error(found) for found in error.errors()]
        detail = "; ".join(f"{found['field']}: {found['detail']}" for found in errors)
        return problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail, field=errors[0]["field"], errors=errors)

    @app.exception_handler(HTTPException)
    async def _http_error(_: Request, error: HTTPException) -> JSONResponse:
        status = HTTPStatus(error.status_code)
        return problem(status, status.description or status.phrase, dict(error.headers or {}))

    @app.exception_handler(StoreError)
    async def _store_error(_: Request, error: StoreError) -> JSONResponse:
        log.error("%s", error)
        return problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error))

    @app.exception_handler(Exception)
    async def _defect(_: Request, __: Exception) -> JSONResponse:
        return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "the agent failed; its log says why")


def _field_error(found: dict[str, Any]) -> dict[str, str]:
    """Which field and why, without the value itself, which may be a secret."""
    place = [str(part) for part in found["loc"] if part not in {"body", "path", "query"}]
    if found["type"] == "json_invalid":
        return {"field": "body", "detail": "not JSON"}
    return {"field": ".".join(place) or "body", "detail": found["msg"].removeprefix("Value error, ")}
