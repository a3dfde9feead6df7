"""Filters about a host's packet filters: which packets have to pass, what drops them, how they are let through."""

import ipaddress
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

Host = Mapping[str, Any]
Settings = Mapping[str, Any]
Packet = Mapping[str, Any]
"""What the module gateway_host says of one kind of packet."""

DROPPED, PERHAPS = "dropped", "perhaps"
MESH_INTERFACE = "tailscale0"
MESH_NETWORKS = tuple(map(ipaddress.ip_network, ("100.64.0.0/10", "fd7a:115c:a1e0::/48")))
CHAIN = ("by", "family", "table", "chain", "zone")
AFTERWARDS = {"firewalld": ", then `firewall-cmd --reload`", "ufw": ""}
"""Of those who keep their rules themselves, for IPv4 and IPv6 at once."""
BY_HAND = ", and where these rules are loaded from at boot"


def gateway_arrivals(settings: Settings) -> list[dict[str, Any]]:
    """The packets that have to come in: clients' at their ports, and the orchestrator's at the peer API."""
    endpoint = settings["endpoint"].rpartition(":")[0].strip("[]")
    ports = [["udp", one["port"]] for one in settings["wireguard"].values()]
    ports += [port for server in settings["servers"].values() for port in server["ports"]]
    clients = [{"protocol": protocol, "port": port, "address": endpoint} for protocol, port in ports]
    behind_a_proxy = settings["http_host"] in {"127.0.0.1", "::1"}
    api = {"protocol": "tcp", "port": settings["http_port"], "address": settings["http_host"]}
    return clients if behind_a_proxy else [*clients, api]


def shut(host: Host, settings: Settings) -> list[str]:
    """What drops a packet that a gateway lives on, one sentence for each chain, without its full stop."""
    return _sentences(_mattering(host, settings, DROPPED), "drops", settings)


def gateway_doubts(host: Host, settings: Settings) -> list[str]:
    """What nobody can tell from here, one sentence each, without its full stop."""
    unread = ", ".join(host["unread_tables"])
    return [
        *_sentences(_mattering(host, settings, PERHAPS), "perhaps drops", settings),
        *([f"the tables {unread} of legacy iptables cannot be read: install iptables-legacy-save"] if unread else []),
    ]


def _mattering(host: Host, settings: Settings, outcome: str) -> Iterator[Packet]:
    """The packets of this outcome that a gateway lives on."""
    for packet in host["packets"]:
        if "port" in packet:
            lost = DROPPED if _every_way(host, packet) else PERHAPS
            found = lost if packet["outcome"] == DROPPED else packet["outcome"]
            # The orchestrator alone has to reach the peer API: to let in no others is good.
            matters = packet["port"] != settings["http_port"] or found == DROPPED
        else:
            found = packet["outcome"]
            matters = MESH_INTERFACE in (*packet["from"], *packet["to"]) or not _mesh_alone(settings)
        if matters and found == outcome:
            yield packet


def _every_way(host: Host, packet: Packet) -> bool:
    """Whether the like of it is dropped by every IP version: a client of a host's name has the choice."""
    arrival = ("protocol", "port", "address")
    alike = [one for one in host["packets"] if all(one.get(name) == packet[name] for name in arrival)]
    return all(one["outcome"] == DROPPED for one in alike)


def _mesh_alone(settings: Settings) -> bool:
    """Whether clients send nothing but to the mesh."""
    allowed = settings["environment"]["MESHGATE_ALLOWED_IPS"].split(",")
    within = ((one, mesh) for one in map(ipaddress.ip_network, allowed) for mesh in MESH_NETWORKS)
    inside = {one for one, mesh in within if one.version == mesh.version and one.subnet_of(mesh)}  # type: ignore[arg-type]
    return inside == {*map(ipaddress.ip_network, allowed)}


def _sentences(packets: Iterable[Packet], drops: str, settings: Settings) -> list[str]:
    """A sentence for each chain: what it drops, and how it is opened."""
    by_chain: dict[tuple[str, ...], list[Packet]] = {}
    for packet in packets:
        for chain in packet["chains"]:
            place = {**chain, "family": ""} if chain["by"] in AFTERWARDS else chain
            by_chain.setdefault(tuple(place[name] for name in CHAIN), []).append(packet)
    return [
        _sentence(dict(zip(CHAIN, place, strict=True)), dropped, drops, settings) for place, dropped in by_chain.items()
    ]


def _sentence(chain: Mapping[str, str], dropped: list[Packet], drops: str, settings: Settings) -> str:
    ports = [f"{one['protocol'].upper()} port {one['port']}" for one in dropped if "port" in one]
    ways = [f"from {', '.join(one['from'])} to {', '.join(one['to'])}" for one in dropped if "to" in one]
    what = [f"what comes for {_listed(ports)}"] if ports else []
    what += [f"what goes {_listed(ways)}"] if ways else []
    commands = _listed(f"`{_command(chain, one, settings)}`" for one in dropped)
    table = f"{chain['family']} {chain['table']}".strip()
    who = f"{chain['by']} (table {table}, chain {chain['chain']})"
    return f"{who} {drops} {' and '.join(what)}: open it by {commands}{AFTERWARDS.get(chain['by'], BY_HAND)}"


def _command(chain: Mapping[str, str], packet: Packet, settings: Settings) -> str:
    """What lets a packet through, in the words of who keeps the chain."""
    if "port" in packet:
        return _let_in(chain, packet["protocol"], packet["port"])
    answers = packet["to"][0] in settings["interfaces"]
    return _let_through(chain, (packet["to"] if answers else packet["from"])[0], answers=answers)


def _let_in(chain: Mapping[str, str], protocol: str, port: int) -> str:
    if chain["by"] == "firewalld":
        zone = f" --zone={chain['zone']}" if chain["zone"] else ""
        return f"firewall-cmd --permanent{zone} --add-port={port}/{protocol}"
    if chain["by"] == "ufw":
        return f"ufw allow {port}/{protocol}"
    if chain["by"] == "nft":
        return f"nft insert rule {_nft(chain)} {protocol} dport {port} accept"
    return f"{_iptables(chain)} -p {protocol} --dport {port} -j ACCEPT"


def _let_through(chain: Mapping[str, str], way: str, *, answers: bool) -> str:
    if chain["by"] == "firewalld":
        return f"firewall-cmd --permanent --zone=trusted --add-interface={way}"
    if chain["by"] == "ufw":
        return f"ufw route allow in on {way}"
    if chain["by"] == "nft":
        matches = f"oifname {way} ct state established,related" if answers else f"iifname {way}"
        return f"nft insert rule {_nft(chain)} {matches} accept"
    matches = f"-o {way} -m conntrack --ctstate ESTABLISHED,RELATED" if answers else f"-i {way}"
    return f"{_iptables(chain)} {matches} -j ACCEPT"


def _nft(chain: Mapping[str, str]) -> str:
    return f"{chain['family']} {chain['table']} {chain['chain']}"


def _iptables(chain: Mapping[str, str]) -> str:
    """The beginning of a command for a chain of iptables."""
    program = chain["by"] if chain["family"] == "ip" else chain["by"].replace("iptables", "ip6tables")
    table = "" if chain["table"] == "filter" else f" -t {chain['table']}"
    return f"{program}{table} -I {chain['chain']}"


def _listed(things: Iterable[str]) -> str:
    """Each thing once: one, two and three."""
    *most, last = dict.fromkeys(things)
    return f"{', '.join(most)} and {last}" if most else last


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filters by their names."""
        return {function.__name__: function for function in (gateway_arrivals, gateway_doubts)}
