"""Filters about where a gateway or a key service listens: its ports and addresses."""

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from ansible.errors import AnsibleFilterError

from playbooks.filter_plugins.gateway_units import SERVERS

Settings = Mapping[str, Any]

EVERY_ADDRESS = "::"
"""Of IPv6 and IPv4: with a certificate, and a token guards the API."""


def gateway_ports(settings: Settings, protocol: str) -> list[int]:
    """The ports that a gateway listens on."""
    return [port for transport, port in wanted_ports(settings) if transport == protocol]


def wanted_ports(settings: Settings) -> dict[tuple[str, int], tuple[str, str]]:
    """Each port, whose it is, and what else could be chosen."""
    wanted = {
        ("tcp", settings["http_port"]): ("the peer API's", "another port in `peers_url`"),
        ("tcp", settings["probe_port"]): ("the probes'", "another probe_port"),
    }
    if settings["port"]:
        wanted["udp", settings["port"]] = ("the endpoint's", "another port in `endpoint`")
    if settings["previous_port"]:
        wanted["udp", settings["previous_port"]] = ("the previous key's", "to leave `previous_key` out")
    if settings["in_mesh"]:
        wanted["udp", settings["tailscale"]["port"]] = ("tailscaled's", "another tailscale_port")
    for way, server in settings["servers"].items():
        for transport, port in server["ports"]:
            instead = f"another openvpn.{transport}_port" if way == "openvpn" else f"to leave {way} out of `access`"
            wanted[transport, port] = (f"{SERVERS[way]}'s", instead)
    return wanted


def key_ports(settings: Settings) -> list[int]:
    """The TCP ports that a key service listens on: the API's, the probes'."""
    return [settings["http_port"], settings["probe_port"]]


def gateway_tls_listener(settings: Settings) -> dict[str, Any]:
    """The settings, with the agent itself on the port of an https:// peers_url, which else is a proxy's."""
    url = urlsplit(settings["peers_url"])
    if url.scheme != "https":
        raise AnsibleFilterError(
            f"meshgate_tls_certificate is given, but peers_url {settings['peers_url']} is no https:// URL: change it."
        )
    port = url.port or 443
    listener = {"MESHGATE_HTTP_HOST": EVERY_ADDRESS, "MESHGATE_HTTP_PORT": str(port)}
    environment = {**settings["environment"], **listener}
    return {**settings, "http_host": EVERY_ADDRESS, "http_port": port, "environment": environment}


def gateway_probe_url(settings: Settings) -> str:
    """Where the agent tells on the machine itself how it is."""
    host = "127.0.0.1" if settings["http_host"] == EVERY_ADDRESS else settings["http_host"]
    return f"http://{f'[{host}]' if ':' in host else host}:{settings['probe_port']}"


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filters by their names."""
        return {
            function.__name__: function
            for function in (gateway_ports, key_ports, gateway_tls_listener, gateway_probe_url)
        }
