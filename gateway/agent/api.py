"""The peer API: registers, lists and revokes devices. OpenAPI is at /openapi.json; errors are problem+json."""

import hmac
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, Query, Response
from fastapi.responses import JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from gateway.agent import problems
from gateway.agent.devices import Devices, Registration
from gateway.agent.errors import InvalidFieldError, UnauthorizedError
from gateway.agent.metrics import RequestMetrics
from gateway.agent.protocols.wireguard.keys import PresharedKey, PublicKey, key_from_path
from gateway.agent.request_audit import RequestAudit
from gateway.agent.request_limits import BodyLimits
from gateway.agent.settings import AgentSettings
from gateway.agent.store import Device

MAX_TTL_S = 10 * 365 * 86400
MAX_PAGE = 1000


def _one_line(name: str) -> str:
    if not name.isprintable() or name != name.strip():
        raise ValueError("a name is one line of printable characters without spaces around it")
    return name


Name = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_one_line)]


class RegistrationBody(BaseModel):
    """A device that shall come in."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    public_key: PublicKey = Field(description="the device's own WireGuard public key, base64")
    name: Name | None = Field(None, description="unique among devices")
    ttl_seconds: int | None = Field(None, ge=1, le=MAX_TTL_S, description="the device is removed after this time")
    preshared_key: PresharedKey | None = Field(None, description="an additional secret shared with the device")


class PeerAnswer(BaseModel):
    """A device, with everything it needs to know for a WireGuard configuration but its private key."""

    name: str | None
    public_key: str
    addresses: list[str] = Field(description="the device's own addresses in the tunnel")
    server_public_key: str
    server_endpoint: str
    allowed_ips: list[str]
    dns: list[str]
    mtu: int
    persistent_keepalive: int
    expires_at: datetime | None
    created_at: datetime
    last_endpoint: str | None = Field(description="where the device was last heard from")
    last_handshake_at: datetime | None


class PeerPage(BaseModel):
    """Some of the devices; `next_cursor` gets the following ones and is null on the last page."""

    peers: list[PeerAnswer]
    next_cursor: str | None


def answer(device: Device, devices: Devices, settings: AgentSettings) -> PeerAnswer:
    """What the API says of a device. Preshared keys are never repeated."""
    return PeerAnswer(
        name=device.name,
        public_key=device.public_key,
        addresses=list(devices.addresses(device)),
        server_public_key=settings.public_key,
        server_endpoint=settings.endpoint,
        allowed_ips=[str(network) for network in settings.allowed_ips],
        dns=[str(address) for address in settings.dns],
        mtu=settings.mtu,
        persistent_keepalive=settings.persistent_keepalive,
        expires_at=_time(device.expires_at),
        created_at=datetime.fromtimestamp(device.created_at, UTC),
        last_endpoint=device.endpoint,
        last_handshake_at=_time(device.last_handshake),
    )


def _time(seconds: int | None) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if seconds else None


def _key(public_key: str) -> str:
    try:
        return key_from_path(public_key)
    except ValueError as error:
        raise InvalidFieldError(str(error), "public_key") from error


def peer_routes(devices: Devices, settings: AgentSettings, token: str) -> APIRouter:
    """The routes that need the bearer token."""
    bearer = HTTPBearer(auto_error=False)

    async def authorized(sent: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]) -> None:
        if sent is None or not hmac.compare_digest(sent.credentials.encode(), token.encode()):
            raise UnauthorizedError("the header 'Authorization: Bearer TOKEN' with the gateway's token is needed")

    router = APIRouter(prefix="/v1/peers", dependencies=[Depends(authorized)])

    @router.post("", status_code=HTTPStatus.CREATED, responses={200: {"description": "The key was known."}})
    async def register(body: RegistrationBody, response: Response) -> PeerAnswer:
        """Let a device in. A known key stays the same device; fields that the body gives replace its old ones."""
        device, is_new = await devices.register(Registration(**body.model_dump()))
        if not is_new:
            response.status_code = HTTPStatus.OK
        return answer(device, devices, settings)

    @router.get("")
    async def list_peers(
        limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 100,
        cursor: Annotated[str, Query(pattern=r"^\d{1,9}$")] = "0",
    ) -> PeerPage:
        """All devices, page by page."""
        page = await devices.page(int(cursor), limit + 1)
        more = len(page) > limit
        return PeerPage(
            peers=[answer(device, devices, settings) for device in page[:limit]],
            next_cursor=str(page[limit - 1].number) if more else None,
        )

    @router.get("/{public_key:path}")
    async def get_peer(public_key: str) -> PeerAnswer:
        """One device. The key stands percent-encoded or in URL-safe base64."""
        return answer(await devices.find(_key(public_key)), devices, settings)

    @router.delete("/{public_key:path}", status_code=HTTPStatus.NO_CONTENT)
    async def unregister(public_key: str) -> None:
        """Shut a device out, at once."""
        await devices.revoke(_key(public_key))

    return router


def create_app(
    settings: AgentSettings,
    token: str,
    devices: Devices,
    find_problems: Callable[[], Awaitable[list[str]]],
    registry: CollectorRegistry,
) -> FastAPI:
    """The application; `find_problems` tells what keeps the gateway from being ready."""
    app = FastAPI(title="Meshgate gateway", version="1", docs_url=None, redoc_url=None)
    problems.install(app)
    app.add_middleware(BodyLimits)
    app.add_middleware(RequestMetrics)
    app.add_middleware(RequestAudit)
    app.include_router(peer_routes(devices, settings, token))

    @app.get("/healthz")
    async def alive() -> dict[str, str]:
        """The agent runs."""
        return {"status": "alive"}

    @app.get("/readyz", responses={503: {"description": "What is missing."}})
    async def ready() -> JSONResponse:
        """The gateway carries traffic."""
        if missing := await find_problems():
            return problems.problem(HTTPStatus.SERVICE_UNAVAILABLE, "; ".join(missing), missing=missing)
        return JSONResponse({"status": "ready"})

    @app.get("/metrics")
    def metrics() -> Response:
        """Sums over all devices, for Prometheus."""
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return app
