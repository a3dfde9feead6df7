"""Filters that judge, by what the module gateway_host saw, whether each part of a gateway works, and if not, why."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from infra import previous_keys
from playbooks.filter_plugins import gateway_firewall
from playbooks.filter_plugins.gateway_problems import SYSCTLS, later_sysctls, system
from playbooks.filter_plugins.gateway_units import AGENT, OURS, TAILSCALE, unit_of

Host = Mapping[str, Any]
Settings = Mapping[str, Any]
Part = dict[str, Any]

TABLE = "inet meshgate"
FIREWALL, PREVIOUS_KEY = "the host's firewall", "the WireGuard key before the present one"


def gateway_parts(
    host: Host,
    settings: Settings,
    artifact: Mapping[str, Any],
    readiness: Mapping[str, Any],
    node: Mapping[str, Any],
    metrics: str = "",
) -> list[Part]:
    """Each part of a gateway: its name, whether it works, and if not, why; and what there is to know of it.

    `readiness` is the result of a request to /readyz, `node` that of the module headscale_node in check mode, and
    `metrics` what /metrics says while a key is kept beside its successor.
    """
    found = (
        ("distribution", " ".join(system(host, settings))),
        ("artifact", _release(host, artifact)),
        *_wireguard(host, settings),
        (AGENT, _unit(host["units"][AGENT])),
        *(part for way, server in settings["servers"].items() for part in _server(host, way, server["ports"])),
        (f"nft table {TABLE}", _table(host)),
        ("forwarding", _forwarding(host, settings)),
        (FIREWALL, "; ".join(gateway_firewall.shut(host, settings))),
        *(_in_the_mesh(host, settings, node) if settings["in_mesh"] else ()),
        (f"peer API {settings['peers_url']}", _api(readiness)),
        *([(PREVIOUS_KEY, "")] if settings["previous_port"] else ()),
    )
    doubts = "; ".join(gateway_firewall.gateway_doubts(host, settings))
    notes = {
        FIREWALL: f"as far as anybody can tell; {doubts}" if doubts else "",
        PREVIOUS_KEY: _left(metrics),
    }
    return [{"part": part, "works": not why, "why": why, "note": notes.get(part, "")} for part, why in found]


def _wireguard(host: Host, settings: Settings) -> Iterator[tuple[str, str]]:
    for name, one in settings["wireguard"].items():
        unit = unit_of(name)
        yield unit, _unit(host["units"][unit])
        there = one["interface"] in host["interfaces"]
        yield f"interface {one['interface']}", "" if there else f"it is not there: {unit} makes it"
        yield f"UDP port {one['port']}", _listens(host, "udp", one["port"])


def _server(host: Host, way: str, ports: Iterable[tuple[str, int]]) -> Iterator[tuple[str, str]]:
    unit = unit_of(way)
    yield unit, _unit(host["units"][unit])
    for transport, port in ports:
        yield f"{transport.upper()} port {port}", _listens(host, transport, port)


def _in_the_mesh(host: Host, settings: Settings, node: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield TAILSCALE, _unit(host["units"][TAILSCALE])
    yield "tailscaled", _tailscaled(host["tailscale"], settings["headscale"]["url"])
    yield "exit node in Headscale", _node(node, host["tailscale"])


def gateway_report(parts: Iterable[Part]) -> list[str]:
    """The parts, a line each."""
    return [f"{part['part']}: {_working(part) if part['works'] else part['why']}" for part in parts]


def _working(part: Part) -> str:
    return f"works, {part['note']}" if part["note"] else "works"


def _left(metrics: str) -> str:
    """How many devices still use the key before the present one."""
    counted = previous_keys.counted(metrics)
    return f"and {counted.left}" if counted and counted.left else ""


def _release(host: Host, artifact: Mapping[str, Any]) -> str:
    if not host["releases"]:
        return "it is not unpacked on this host: run playbooks/gateway.yml"
    if artifact.get("failed"):
        return str(artifact["msg"])
    if artifact["release"] in host["releases"]:
        return ""
    return (
        f"the host has {', '.join(host['releases'])}, the controller {artifact['release']}: run playbooks/gateway.yml"
    )


def _unit(unit: Mapping[str, bool]) -> str:
    if not unit["active"]:
        return "it does not run: `journalctl -u UNIT` on the host says why"
    return "" if unit["enabled"] else "it will not start at boot: run playbooks/gateway.yml"


def _listens(host: Host, protocol: str, port: int) -> str:
    owners = [one for one in host["sockets"] if (one["protocol"], one["port"]) == (protocol, port)]
    if not owners:
        return "nothing listens on it"
    strangers = sorted({one["process"] for one in owners if one["process"] and not one["unit"].startswith(OURS)})
    return f"{', '.join(strangers)} listens on it, not the gateway" if strangers else ""


def _table(host: Host) -> str:
    if host["tables"] is None:
        return "there is no nft to look with: run playbooks/gateway.yml"
    return "" if TABLE in host["tables"] else f"it is not there: {AGENT} puts it in place"


def _forwarding(host: Host, settings: Settings) -> str:
    ipv6 = any(":" in network for network in settings["client_networks"])
    needed = ["net.ipv4.ip_forward", *(["net.ipv6.conf.all.forwarding"] if ipv6 else [])]
    off = [name for name in needed if host["sysctls"][name] in {"", "0"}]
    now = [f"{' and '.join(off)} must be 1: something has set it after /etc/sysctl.d/{SYSCTLS}"] if off else []
    return "; ".join([*now, *(sentence.rstrip(".") for sentence in later_sysctls(host, settings))])


def _tailscaled(tailscale: Mapping[str, Any] | None, url: str) -> str:
    if tailscale is None:
        return f"it does not answer: {TAILSCALE} runs it"
    if not tailscale["joined"] or tailscale["state"] != "Running":
        return f"it is not connected, its state is {tailscale['state']}: run playbooks/gateway.yml"
    if tailscale["url"] != url:
        return f"it is connected to {tailscale['url']}, not to {url}: run playbooks/gateway.yml"
    return ""


def _node(answer: Mapping[str, Any], tailscale: Mapping[str, Any] | None) -> str:
    if answer.get("failed"):
        return str(answer.get("msg", "Headscale does not answer"))
    if answer.get("skipped"):
        return ""
    node = answer.get("node")
    if not node:
        return "Headscale has no such node: run playbooks/gateway.yml"
    if tailscale and tailscale["node_key"] != node["node_key"]:
        return f"Headscale's node {node['id']} of that name has another key than this host: remove that node there"
    if not node["exit_node"]:
        return "its exit routes are not approved: run playbooks/gateway.yml"
    return "" if node["online"] else "Headscale does not see it: can the host reach Headscale?"


def _api(readiness: Mapping[str, Any]) -> str:
    if readiness.get("status") == 200:
        return ""
    missing = (readiness.get("json") or {}).get("missing")
    return "; ".join(missing) if missing else f"it does not answer: {readiness.get('msg', 'nothing listens')}"


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filters by their names."""
        return {function.__name__: function for function in (gateway_parts, gateway_report)}
