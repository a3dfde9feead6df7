"""Errors as callers see them: RFC 9457 problem+json with the field's name, one sentence each, never a traceback."""

import logging
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from gateway.agent import audit
from gateway.agent.errors import RequestError, ScopeError, UnauthorizedError, UnavailableError
from gateway.agent.store import StoreError

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
NOT_FIELDS = {"body", "path", "query", "wireguard", "certified"}
"""Parts of pydantic's places: where an input is, and of which kind a body is."""
LONGEST_NAME = 64
"""A field that a caller made up is repeated so far."""
EVERY_CALLS = {
    HTTPStatus.UNAUTHORIZED: "The token is missing or wrong.",
    HTTPStatus.FORBIDDEN: "The token is not good for this.",
    HTTPStatus.REQUEST_TIMEOUT: "The body did not come in time.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The body is too large.",
    HTTPStatus.UNPROCESSABLE_ENTITY: "A field is wrong.",
    HTTPStatus.TOO_MANY_REQUESTS: "The address has too many connections, or sent too many wrong requests.",
    HTTPStatus.SERVICE_UNAVAILABLE: "The interface or the store cannot be changed just now.",
}
"""What any call of the API may answer in place of what it is for."""


class FieldProblem(BaseModel):
    """One field that is wrong."""

    field: str
    detail: str


class Problem(BaseModel):
    """An error (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str = Field(description="one sentence, in one line")
    field: str | None = Field(None, description="the input that is wrong")
    errors: list[FieldProblem] | None = Field(None, description="all of them, if several may be wrong")


def members(status: HTTPStatus, detail: str, **more: object) -> dict[str, object]:
    """The members of a problem; those that are None are left out."""
    found = {"type": "about:blank", "title": status.phrase, "status": status.value, "detail": detail, **more}
    return {name: member for name, member in found.items() if member is not None}


def problem(status: HTTPStatus, detail: str, headers: dict[str, str] | None = None, **more: object) -> JSONResponse:
    """A problem+json answer."""
    audit.reason(detail)
    return JSONResponse(
        members(status, detail, **more), status_code=status.value, headers=headers, media_type=MEDIA_TYPE
    )


def problem_response(error: RequestError) -> JSONResponse:
    """The answer to a request that cannot be fulfilled."""
    headers = {}
    if isinstance(error, UnauthorizedError):
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, ScopeError):  # RFC 6750, section 3
        headers["WWW-Authenticate"] = f'Bearer error="insufficient_scope", scope="{error.scope}"'
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
        if status is HTTPStatus.BAD_REQUEST:  # FastAPI's, of a body that is not even text
            return problem(HTTPStatus.UNPROCESSABLE_ENTITY, "body: not JSON", field="body")
        return problem(status, status.description or status.phrase, dict(error.headers or {}))

    @app.exception_handler(StoreError)
    async def _store_error(_: Request, error: StoreError) -> JSONResponse:
        log.error("%s", error)
        return problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error))

    @app.exception_handler(Exception)
    async def _defect(_: Request, __: Exception) -> JSONResponse:
        return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "the agent failed; its log says why")


def declare(app: FastAPI) -> None:
    """Let the application's OpenAPI say of every call what it may answer, errors as the problems that they are."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _with_problems(get_openapi(title=app.title, version=app.version, routes=app.routes))
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _with_problems(schema: dict[str, Any]) -> dict[str, Any]:
    schemas = schema["components"]["schemas"]
    for fastapis in ("HTTPValidationError", "ValidationError"):
        schemas.pop(fastapis, None)
    template = "#/components/schemas/{model}"
    problem_schema = Problem.model_json_schema(ref_template=template)
    schemas |= {**problem_schema.pop("$defs"), "Problem": problem_schema}
    content = {MEDIA_TYPE: {"schema": {"$ref": template.format(model="Problem")}}}
    for call in (call for calls in schema["paths"].values() for call in calls.values()):
        everys = {str(status.value): {"description": meaning} for status, meaning in EVERY_CALLS.items()}
        answers = {**call["responses"], **everys}
        call["responses"] = {
            status: {**answer, "content": content} if status >= "400" else answer
            for status, answer in sorted(answers.items())
        }
    return schema


def _field_error(found: dict[str, Any]) -> dict[str, str]:
    """Which field and why, without the value itself, which may be a secret."""
    place = [_printable(str(part)) for part in found["loc"] if part not in NOT_FIELDS]
    if found["type"] == "json_invalid":
        return {"field": "body", "detail": "not JSON"}
    return {"field": ".".join(place) or "body", "detail": _printable(found["msg"].removeprefix("Value error, "))}


def _printable(text: str) -> str:
    """As one line that any encoding takes, whatever a caller has written there."""
    short = text if len(text) <= LONGEST_NAME else f"{text[:LONGEST_NAME]}…"
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in short)
