"""An API of which nothing answers without a token: what the peer API has in common with the key service's."""

from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.security import HTTPBearer

from gateway.agent import problems
from gateway.agent.authentication import Authentication, Grant
from gateway.agent.errors import ScopeError
from gateway.agent.metrics import RequestMetrics
from gateway.agent.request_audit import RequestAudit
from gateway.agent.request_limits import BodyLimits


def guarded_app(title: str, grant: Grant, routes: APIRouter) -> FastAPI:
    """The application of these routes, which are audited."""
    app = FastAPI(title=title, version="1", docs_url=None, redoc_url=None)
    problems.install(app)
    problems.declare(app)
    # The last one is the first to see a request.
    app.add_middleware(BodyLimits)
    app.add_middleware(Authentication, grant=grant)
    app.add_middleware(RequestMetrics)
    app.add_middleware(RequestAudit, path=routes.prefix)
    app.include_router(routes)
    return app


def guarded_routes(prefix: str) -> APIRouter:
    """Routes below a path.

    Their dependency only tells the OpenAPI of the token: `Authentication` has seen it already.
    """
    return APIRouter(prefix=prefix, dependencies=[Depends(HTTPBearer(auto_error=False))])


def needs(*scopes: str) -> Any:  # noqa: ANN401 - as FastAPI's own Depends
    """A route's dependency: the token has one of these scopes."""

    async def check(request: Request) -> None:
        if not request.state.scopes & set(scopes):
            raise ScopeError(scopes[0])

    return Depends(check)
