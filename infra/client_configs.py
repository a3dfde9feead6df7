"""What clients' configs hold of a stack, and what a change of it makes useless.

A config lies on somebody's device, and no `pulumi up` reaches it there. More is no loss: a network that is wider and
begins alike, one more way. No Pulumi in here: it compares plain values, as the state has them.
"""

import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from infra import gateway_programs, previous_keys
from infra.previous_keys import Counted, Held
from infra.settings.gateway import GatewaySettings
from infra.settings.value_types import IPNetwork, split_endpoint
from infra.settings.ways import NAMES

PUBLIC_KEY, ISSUER = "public_key", "issuer"
"""What the settings do not tell: WireGuard's public key, and a digest of what issues the certificates."""
ASKED_AT = "asked_at"
"""Where the gateway says how many devices it has: NAMESPACE/DEPLOYMENT, or a URL. No config holds it."""


@dataclass(frozen=True)
class Loss:
    """Something that configs hold and a change takes away."""

    gateway: str
    """Empty where it is the whole stack's."""
    what: str
    """Which setting takes what away."""
    way: str = ""
    """By which way the devices come in that lose it; empty where it is all of them."""
    guarded: bool = False
    """Whether a resource ends with it that the engine itself protects (infra/protection.py), or lets go by name."""
    of_previous: bool = False
    """Whether those lose it alone that still use the WireGuard key before the present one."""

    def is_nobodys(self, counted: Counted | None) -> bool:
        """Whether it is known that no device loses anything."""
        return self.of_previous and counted is not None and counted.unmoved == 0

    def sentence(self, counted: Counted | None) -> str:
        """For people; `counted` is None where the gateway could not be asked."""
        if not self.gateway:
            return f"{self.what}, so each node and device would have to join the mesh again."
        if self.of_previous:
            count = f" ({counted.unmoved} of {counted.devices})" if counted and counted.unmoved is not None else ""
            return f"gateway {self.gateway}: {self.what}, and devices that still use it{count} would need new configs."
        by = f" by {NAMES[self.way]}" if self.way else ""
        count = f" (the gateway has {counted.devices} in all)" if counted else ""
        return f"gateway {self.gateway}: {self.what}, so its devices{by} would need new configs{count}."


def held(gateway: GatewaySettings, namespace: str) -> Held:
    """What the settings put into the configs of a gateway's clients; `dialled` has what they dial, by each way."""
    host = split_endpoint(gateway.endpoint)[0]
    dialled = {"wireguard": [gateway.endpoint], "openvpn": gateway.openvpn_endpoints, "ipsec": [host]}
    place = asked_at(gateway, namespace)
    return {
        "dialled": {way: dialled[way] for way in gateway.access},
        "client_networks": list(map(str, gateway.client_networks)),
        "allowed_ips": list(map(str, gateway.allowed_ips)),
        **({ASKED_AT: place} if place else {}),
    }


def asked_at(gateway: GatewaySettings, namespace: str) -> str:
    """Where a gateway says how many devices it has; empty of a machine that nobody else is told an address of."""
    return f"{namespace}/{gateway.hostname}" if gateway.target == "kubernetes" else _metrics_url(gateway)


def losses(before: Mapping[str, Held], after: Mapping[str, Held]) -> Iterator[Loss]:
    """What the configs of gateways, by their names, hold in vain after a change."""
    for name, old in before.items():
        if name in after:
            yield from _of_gateway(name, old, after[name])
        else:
            yield Loss(name, "`gateways` does not have it any more", guarded=True)


def moved(before: str | None, after: str | None) -> Iterator[Loss]:
    """What another URL of Headscale takes from the mesh."""
    if before and after and before != after:
        yield Loss("", f"`headscale.url` changes from {before} to {after}, and who is in the mesh knows the old one")


def _of_gateway(name: str, old: Held, new: Held) -> Iterator[Loss]:
    for way, addresses in old["dialled"].items():
        if way not in new["dialled"]:
            yield Loss(name, f"`access` does not have {way} any more", way)
        elif way == "wireguard" and previous_keys.keeps(new, addresses[0]) and previous_keys.PREVIOUS not in old:
            continue  # what is rotated now is the previous key then
        elif gone := [one for one in addresses if one not in new["dialled"][way]]:
            setting = "`endpoint` or `openvpn` changes" if way == "openvpn" else "`endpoint` changes"
            yield Loss(name, f"{setting}, and clients dial {', '.join(gone)}", way)
        elif way == "wireguard" and _is_another_key(old, new):
            yield Loss(name, "its WireGuard key becomes another one", way, guarded=True)
        elif ISSUER in old and way != "wireguard" and old[ISSUER] != new.get(ISSUER):
            yield Loss(name, "its issuing certificate becomes another one", way, guarded=True)
    if "wireguard" in new["dialled"] and previous_keys.ends(old, new):
        yield Loss(name, "the WireGuard key before the present one ends", of_previous=True)
    networks = _networks(new["client_networks"])
    if gone := [str(one) for one in _networks(old["client_networks"]) if not _keeps_addresses(one, networks)]:
        become = ", ".join(map(str, networks))
        had = f"devices have addresses of {', '.join(gone)}, which they lose with `renumber: true`"
        yield Loss(name, f"`client_networks` become {become}, and {had}")
    families = {network.version for network in _networks(old["client_networks"])}
    sent = [network for network in _networks(old["allowed_ips"]) if network.version in families]
    if gone := [str(one) for one in sent if not _covered(one, _networks(new["allowed_ips"]))]:
        become = ", ".join(new["allowed_ips"])
        yield Loss(name, f"`allowed_ips` become {become}, and devices send {', '.join(gone)} into the tunnel")


def _is_another_key(old: Held, new: Held) -> bool:
    """Whether the key that configs have goes; unknown is one that `up` makes."""
    if PUBLIC_KEY not in old or old[PUBLIC_KEY] == new.get(PUBLIC_KEY):
        return False
    # At the end of a rotation the resource changes, and its key does not (infra/resources/wireguard_key.py).
    return isinstance(new.get(PUBLIC_KEY), str) or not previous_keys.is_taken_away(old, new)


def _keeps_addresses(network: IPNetwork, networks: Iterable[IPNetwork]) -> bool:
    """Whether devices keep their numbers, which count from a network's beginning, and all of them have room."""
    return any(
        one.network_address == network.network_address and one.prefixlen <= network.prefixlen for one in networks
    )


def _covered(network: IPNetwork, networks: Iterable[IPNetwork]) -> bool:
    """Whether networks together hold all of one."""
    if isinstance(network, ipaddress.IPv4Network):
        four = (one for one in networks if isinstance(one, ipaddress.IPv4Network))
        return any(network.subnet_of(one) for one in ipaddress.collapse_addresses(four))
    six = (one for one in networks if isinstance(one, ipaddress.IPv6Network))
    return any(network.subnet_of(one) for one in ipaddress.collapse_addresses(six))


def _networks(texts: Iterable[str]) -> list[IPNetwork]:
    return list(map(ipaddress.ip_network, texts))


def _metrics_url(gateway: GatewaySettings) -> str:
    """Of a machine; empty where nobody else is told an address of it."""
    if not (gateway.peers_url or "").startswith("http://"):
        return ""
    host, _ = gateway_programs.metal_listener(gateway)
    return f"http://{f'[{host}]' if ':' in host else host}:{gateway.probe_port}/metrics"
