"""The peer API: registers, lists and revokes devices. OpenAPI is at /openapi.json; errors are problem+json."""

from collections.abc import Callable
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response
from fastapi.security import HTTPBearer
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from gateway.agent import problems
from gateway.agent.authentication import Authentication, Grant
from gateway.agent.devices import Devices
from gateway.agent.errors import InvalidFieldError, ScopeError
from gateway.agent.labels import LONGEST, label
from gateway.agent.metrics import RequestMetrics
from gateway.agent.protocols.wireguard.keys import PresharedKey, PublicKey, key_from_path
from gateway.agent.registration import Registration
from gateway.agent.request_audit import RequestAudit
from gateway.agent.request_limits import BodyLimits
from gateway.agent.settings import AgentSettings
from gateway.agent.store import Device
from gateway.agent.tokens import READ, REGISTER

MAX_TTL_S = 10 * 365 * 86400
MAX_PAGE = 1000


Name = Annotated[str, AfterValidator(label)]


class RegistrationBody(BaseModel):
    """A device that shall come in. For a known key null unsets, and a field that is not there stays as it is."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    public_key: PublicKey = Field(description="the device's own WireGuard public key, base64")
    name: Name | None = Field(None, description=f"a label, of which {LONGEST} characters are kept")
    ttl_seconds: int | None = Field(None, ge=1, le=MAX_TTL_S, description="the device is removed after this time")
    preshared_key: PresharedKey | None = Field(None, description="an additional secret shared with the device")


class PeerAnswer(BaseModel):
    """A device, with everything it needs to know for a WireGuard configuration but its private key."""

    name: str | None
    public_key: str
    has_preshared_key: bool
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
        has_preshared_key=device.preshared_key is not None,
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


def needs(*scopes: str) -> Any:  # noqa: ANN401 - as FastAPI's own Depends
    """A route's dependency: the token has one of these scopes."""

    async def check(request: Request) -> None:
        if not request.state.scopes & set(scopes):
            raise ScopeError(scopes[0])

    return Depends(check)


KEY_UNKNOWN: dict[int | str, dict[str, Any]] = {404: {"description": "No device has this key."}}


def peer_routes(devices: Devices, settings: Callable[[], AgentSettings]) -> APIRouter:
    """The routes. Their dependency only tells the OpenAPI of the token: `Authentication` has seen it already."""
    router = APIRouter(prefix="/v1/peers", dependencies=[Depends(HTTPBearer(auto_error=False))])

    @router.post(
        "",
        status_code=HTTPStatus.CREATED,
        dependencies=[needs(REGISTER)],
        responses={
            200: {"description": "The key was known.", "model": PeerAnswer},
            202: {"description": "The device is kept, and let in within a second.", "model": PeerAnswer},
            507: {"description": "No address is left."},
        },
    )
    async def register(body: RegistrationBody, response: Response) -> PeerAnswer:
        """Let a device in. A known key stays the same device; fields that the body gives replace its old ones."""
        admission = await devices.register(Registration(**body.model_dump(exclude_unset=True)))
        if not admission.is_in:
            response.status_code = HTTPStatus.ACCEPTED
        elif not admission.is_new:
            response.status_code = HTTPStatus.OK
        return answer(admission.device, devices, settings())

    @router.get("", dependencies=[needs(READ)])
    async def list_peers(
        limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 100,
        cursor: Annotated[str, Query(pattern=r"^\d{1,9}$")] = "0",
    ) -> PeerPage:
        """All devices, page by page."""
        page = await devices.page(int(cursor), limit + 1)
        more = len(page) > limit
        return PeerPage(
            peers=[answer(device, devices, settings()) for device in page[:limit]],
            next_cursor=str(page[limit - 1].number) if more else None,
        )

    @router.get("/{public_key:path}", dependencies=[needs(REGISTER, READ)], responses=KEY_UNKNOWN)
    async def get_peer(public_key: str) -> PeerAnswer:
        """One device. The key stands percent-encoded or in URL-safe base64."""
        return answer(await devices.find(_key(public_key)), devices, settings())

    @router.delete(
        "/{public_key:path}",
        status_code=HTTPStatus.NO_CONTENT,
        dependencies=[needs(REGISTER)],
        responses=KEY_UNKNOWN,
    )
    async def unregister(public_key: str) -> None:
        """Shut a device out, at once, and forget it."""
        await devices.revoke(_key(public_key))

    return router


def create_app(settings: Callable[[], AgentSettings], grant: Grant, devices: Devices) -> FastAPI:
    """The application, of which nothing answers without a token."""
    app = FastAPI(title="Meshgate gateway", version="1", docs_url=None, redoc_url=None)
    problems.install(app)
    problems.declare(app)
    # The last one is the first to see a request.
    app.add_middleware(BodyLimits)
    app.add_middleware(Authentication, grant=grant)
    app.add_middleware(RequestMetrics)
    app.add_middleware(RequestAudit)
    app.include_router(peer_routes(devices, settings))
    return app
