"""The peer API: registers, lists and revokes devices. OpenAPI is at /openapi.json; errors are problem+json."""

from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, FastAPI, Query, Response
from fastapi.responses import PlainTextResponse

from gateway.agent.authentication import Grant
from gateway.agent.bodies import (
    Body,
    CertificateAnswer,
    CertifiedAnswer,
    PeerPage,
    WireGuardAnswer,
    WireGuardConfigAnswer,
    answer,
)
from gateway.agent.devices import Devices
from gateway.agent.errors import InvalidFieldError
from gateway.agent.guarded_app import guarded_app, guarded_routes, needs
from gateway.agent.onboarding import ready_profile, registered, wanted
from gateway.agent.protocol import ProfileFormat
from gateway.agent.protocols.wireguard.keys import key_from_path
from gateway.agent.settings import AgentSettings
from gateway.agent.tokens import READ, REGISTER

if TYPE_CHECKING:
    from gateway.agent.certified_devices import CertifiedDevices

MAX_PAGE = 1000


def _key(public_key: str) -> str:
    try:
        return key_from_path(public_key)
    except ValueError as error:
        raise InvalidFieldError(str(error), "public_key") from error


KEY_UNKNOWN: dict[int | str, dict[str, Any]] = {404: {"description": "No device has this key."}}


def peer_routes(
    devices: Devices, settings: Callable[[], AgentSettings], certified: "CertifiedDevices | None"
) -> APIRouter:
    """The routes; without `certified` no device gets a certificate."""
    router = guarded_routes("/v1/peers")

    @router.post(
        "",
        status_code=HTTPStatus.CREATED,
        dependencies=[needs(REGISTER)],
        responses={
            200: {"description": "The key was known.", "model": WireGuardConfigAnswer | CertificateAnswer},
            202: {
                "description": "The device is kept, and let in within a second.",
                "model": WireGuardConfigAnswer | CertificateAnswer,
            },
            507: {"description": "No address is left."},
        },
    )
    async def register(body: Body, response: Response) -> WireGuardConfigAnswer | CertificateAnswer:
        """Let a device in. A known key stays the same device; fields that the body gives replace its old ones."""
        registration, private_key = wanted(body, settings(), certified)
        admission = await devices.register(registration)
        if not admission.is_in:
            response.status_code = HTTPStatus.ACCEPTED
        elif not admission.is_new:
            response.status_code = HTTPStatus.OK
        return registered(admission.device, devices, settings(), certified, private_key, body.profile_format)

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

    @router.get(
        "/{public_key:path}/profile",
        dependencies=[needs(REGISTER)],
        responses=KEY_UNKNOWN,
        response_class=PlainTextResponse,
    )
    async def get_profile(public_key: str, format: ProfileFormat | None = None) -> PlainTextResponse:  # noqa: A002 - its name
        """A file that the stock client takes, once the device's private key is put into it."""
        device = await devices.find(_key(public_key))
        return PlainTextResponse(ready_profile(device, devices, settings(), certified, format))

    @router.get("/{public_key:path}", dependencies=[needs(REGISTER, READ)], responses=KEY_UNKNOWN)
    async def get_peer(public_key: str) -> WireGuardAnswer | CertifiedAnswer:
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


def create_app(
    settings: Callable[[], AgentSettings], grant: Grant, devices: Devices, certified: "CertifiedDevices | None" = None
) -> FastAPI:
    """The application, of which nothing answers without a token."""
    return guarded_app("Meshgate gateway", grant, peer_routes(devices, settings, certified))
