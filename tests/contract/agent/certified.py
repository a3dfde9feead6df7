"""A world whose gateway issues certificates, and its devices by whichever protocol."""

from typing import Any

from gateway.agent.certificates import Credentials, Issuer
from infra import certificate_authority
from tests.contract.agent.world import World
from tests.device_paths import device_path


def give_issuer(world: World) -> None:
    ca = certificate_authority.make("a CA for tests")
    (world.directory / "ca.pem").write_text(ca.certificate)
    (world.directory / "ca.key").write_text(ca.key)
    issuing = certificate_authority.issuing(ca, "a gateway's")
    certificate, key = world.directory / "issuing.pem", world.directory / "issuing.key"
    certificate.write_text(issuing.certificate + ca.certificate)
    key.write_text(issuing.key)
    world.environment |= {
        "MESHGATE_ISSUING_CERTIFICATE_FILE": str(certificate),
        "MESHGATE_ISSUING_KEY_FILE": str(key),
    }


def issuer(world: World) -> Issuer:
    """The gateway's own."""
    return Issuer((world.directory / "issuing.pem").read_text(), (world.directory / "issuing.key").read_text())


def another_gateways(world: World, name: str) -> Credentials:
    """A certificate of this name that another gateway's issuer, below the same CA, gave somebody."""
    ca = certificate_authority.Authority(*((world.directory / f"ca.{kind}").read_text() for kind in ("pem", "key")))
    other = certificate_authority.issuing(ca, "another gateway's")
    return Issuer(other.certificate + ca.certificate, other.key).for_server(name)


def register(world: World, protocol: str, **more: object) -> dict[str, Any]:
    answer = world.call("POST", "/v1/peers", json={"protocol": protocol, "make_key": True, **more})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def seen_at(world: World, device: dict[str, Any]) -> str:
    return world.call("GET", device_path(device["id"])).json()["last_endpoint"] or ""


def revoke(world: World, device: dict[str, Any]) -> None:
    assert world.call("DELETE", device_path(device["id"])).status_code == 204
