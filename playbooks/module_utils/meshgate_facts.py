"""What follows from a gateway's settings on a machine: what its programs are told, and where they listen."""

from typing import TYPE_CHECKING

from ansible.module_utils.meshgate import Params, Result
from ansible.module_utils.meshgate_tailscale import SOCKET

if TYPE_CHECKING:
    from infra.gateway_programs import Places
    from infra.settings.gateway import GatewaySettings
    from infra.settings.headscale import HeadscaleSettings
    from infra.settings.stack import StackSettings


def facts(gateway: "GatewaySettings", stack: "StackSettings", params: Params) -> Result:
    """What follows from the settings."""
    from infra import gateway_programs

    server, mesh = stack.headscale, stack.mesh(gateway)
    host, port = gateway_programs.metal_listener(gateway)
    places = gateway_programs.Places(
        private_key_file=params["private_key_file"],
        token_file=params["token_file"],
        state_dir=params["state_dir"],
        tailscale_socket=str(SOCKET),
        issuing_certificate_file=params["issuing_certificate_file"],
        issuing_key_file=params["issuing_key_file"],
        openvpn_dir=params["meeting_dir"],
        ipsec_dir=params["meeting_dir"],
        interface=params["interface"],
        previous_interface=params["previous_interface"],
        previous_private_key_file=params["previous_private_key_file"],
        http_host=host,
        http_port=port,
        probe_port=gateway.probe_port,
    )
    return {
        "name": gateway.name,
        "endpoint": gateway.endpoint,
        "port": gateway.port if gateway.has_wireguard else None,
        "client_networks": list(map(str, gateway.client_networks)),
        "tags": list(gateway.tags),
        "registration_deadline": gateway.registration_deadline,
        "interface": params["interface"],
        "previous_port": gateway.previous.port if gateway.previous else None,
        "previous_interface": params["previous_interface"],
        "interfaces": _interfaces(gateway, params),
        "environment": _environment(gateway, params["public_key"], places, in_mesh=mesh is not None),
        "wireguard": _wireguard(gateway, params, places),
        "servers": _servers(gateway, places),
        "issuing_problem": (
            _issuing_problem(params["issuing_certificate"], params["issuing_key"]) if gateway.has_certificates else ""
        ),
        "http_host": host,
        "http_port": port,
        "probe_port": gateway.probe_port,
        "peers_url": gateway.peers_url or f"http://{host}:{port}",
        "hostname": gateway.hostname,
        "in_mesh": mesh is not None,
        "tailscale": _tailscale(gateway, mesh) if mesh else None,
        "headscale": server and {"url": server.url, "ca_certificate": server.ca_certificate, "user": server.user},
    }


def _issuing_problem(chain: str, key: str) -> str:
    from gateway.agent.certificates import Issuer

    try:
        return " ".join(Issuer(chain, key).problems)
    except ValueError as error:
        return f"these are not an issuing certificate, followed by its CA's, and its key: {error}"


def _interfaces(gateway: "GatewaySettings", params: Params) -> list[str]:
    from gateway.agent.endpoints import IPSEC_INTERFACE, openvpn_interface

    return [
        *([params["interface"]] if gateway.has_wireguard else []),
        *([params["previous_interface"]] if gateway.previous else []),
        *map(openvpn_interface, gateway.openvpn_ports),
        *([IPSEC_INTERFACE] if "ipsec" in gateway.access else []),
    ]


def _wireguard(gateway: "GatewaySettings", params: Params, places: "Places") -> dict[str, object]:
    """By the unit's name: the present key's, and the previous one's."""
    from infra import gateway_programs

    units: dict[str, object] = {}
    if gateway.has_wireguard:
        units["wireguard"] = {
            "interface": params["interface"],
            "port": gateway.port,
            "environment": gateway_programs.interface_environment(gateway, places),
        }
    if gateway.previous:
        units["wireguard-1"] = {
            "interface": params["previous_interface"],
            "port": gateway.previous.port,
            "environment": gateway_programs.previous_interface_environment(gateway, places),
        }
    return units


def _servers(gateway: "GatewaySettings", places: "Places") -> dict[str, object]:
    from infra import gateway_programs

    environments = {
        "openvpn": gateway_programs.openvpn_environment(gateway, places),
        "ipsec": gateway_programs.ipsec_environment(gateway, places),
    }
    return {
        way: {
            "ports": [[port.transport, port.listened] for port in gateway.client_ports if port.way == way],
            "environment": environment,
        }
        for way, environment in environments.items()
        if way in gateway.access
    }


def _tailscale(gateway: "GatewaySettings", mesh: "HeadscaleSettings") -> dict[str, object]:
    from infra import gateway_programs

    return {
        "port": gateway.tailscale_port,
        "arguments": list(gateway_programs.tailscaled_arguments(gateway)),
        "up_arguments": [*gateway_programs.tailscale_up_arguments(mesh.url), f"--hostname={gateway.hostname}"],
        "environment": gateway_programs.TAILSCALED_ENVIRONMENT,
    }


def _environment(
    gateway: "GatewaySettings", public_key: str | None, places: "Places", *, in_mesh: bool
) -> dict[str, str]:
    """The agent's; what is empty stands for none and is left out."""
    from infra import gateway_programs

    key = (public_key or "") if gateway.has_wireguard else None
    told = gateway_programs.agent_environment(gateway, key, places, previous_public_key="", in_mesh=in_mesh)
    told |= gateway_programs.agent_settings(gateway)
    return {name: value for name, value in told.items() if value}
