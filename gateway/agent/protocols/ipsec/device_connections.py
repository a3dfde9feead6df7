"""What charon is told of a device: its addresses and the connections that it may come in by.

A device's id is the common name of its certificate, which this gateway's issuer gives to the holder of one key alone.
Clients send it as a name (strongSwan, Apple) or as the certificate's subject (Windows): ids are typed, so there is a
connection for each. An address that one device alone gets is a pool of one. There are two of each: who comes back from
elsewhere, without a word about the session before, finds the first one taken.
"""

from collections.abc import Iterable, Iterator, Mapping

from gateway.agent.certificates import Issuer, common_name
from gateway.agent.pool import Network
from gateway.agent.protocols.ipsec.charon import Command
from gateway.agent.protocols.ipsec.kernel_esp import IF_ID
from gateway.agent.settings import AgentSettings
from gateway.agent.store import Device

IKE_PROPOSALS = (
    "aes256gcm16-prfsha384-ecp384",
    "aes256gcm16-aes128gcm16-prfsha256-prfsha384-ecp256-ecp384-x25519",
    "aes256-aes128-sha256-sha384-ecp256-ecp384-x25519-modp2048",
)
ESP_PROPOSALS = (
    "aes256gcm16-aes128gcm16",
    "aes256gcm16-aes128gcm16-ecp256-ecp384-x25519",
    "aes256-sha256",
    "aes256-sha256-ecp256-ecp384-modp2048",
)
"""Those with a group are for clients that make new secrets for each renewal of keys."""
EVERYTHING = {4: "0.0.0.0/0", 6: "::/0"}
BY_SUBJECT = "subject-"
LEEWAY_S = 120
"""So long after its last packet a client is asked whether it is still there. Asking costs its battery."""


def names(device: str) -> tuple[str, str]:
    """The connections of the device with this id."""
    name = common_name(device)
    return name, f"{BY_SUBJECT}{name}"


def name_of(connection: str) -> str:
    """The common name of the device that a connection is of."""
    return connection.removeprefix(BY_SUBJECT)


def admitted(device: Device, settings: AgentSettings, issuer: Issuer, *, by_kernel: bool) -> Iterator[Command]:
    """Let a device in, by the kernel's ESP or charon's own. One that is in already keeps its session."""
    name, by_subject = names(device.public_key)
    pools = []
    for network in settings.client_networks:
        attributes = [str(address) for address in settings.dns if address.version == network.version]
        told = {"addrs": f"{network[device.number]}/{network.max_prefixlen}", "dns": attributes}
        for pool in _pools(name, network):
            pools.append(pool)
            yield Command("load-pool", {pool: told})
    bound = {"if_id_in": hex(IF_ID), "if_id_out": hex(IF_ID)} if by_kernel else {}
    for connection, identity in ((name, f"fqdn:{name}"), (by_subject, f"CN={name}")):
        yield Command("load-conn", {connection: _connection(identity, pools, settings, issuer, bound)})


def dismissed(devices: Iterable[str], networks: tuple[Network, ...]) -> Iterator[Command]:
    """Shut devices out, by their ids. First they leave the list: a session alone that is ended comes back at once."""
    connections = [(device, names(device)) for device in devices]
    for _, both in connections:
        for name in both:
            yield Command("unload-conn", {"name": name}, may_fail=True)
    for device, both in connections:
        for name in both:
            yield Command("terminate", {"ike": name, "force": "yes", "timeout": "-1"}, "control-log", may_fail=True)
        for network in networks:
            for pool in _pools(common_name(device), network):
                yield Command("unload-pool", {"name": pool}, may_fail=True)


def ended(session: str) -> Command:
    """End one session, by charon's number of it."""
    return Command("terminate", {"ike-id": session, "force": "yes", "timeout": "-1"}, "control-log", may_fail=True)


def _pools(name: str, network: Network) -> tuple[str, str]:
    return f"{name}-{network.version}", f"{name}-{network.version}-again"


def _connection(
    identity: str, pools: list[str], settings: AgentSettings, issuer: Issuer, bound: Mapping[str, str]
) -> dict[str, object]:
    return {
        "version": "2",
        "proposals": list(IKE_PROPOSALS),
        "encap": "yes",
        "mobike": "yes",
        "fragmentation": "yes",
        "unique": "replace",
        "dpd_delay": f"{LEEWAY_S}s",
        "rekey_time": "4h",
        "reauth_time": "0",
        "send_cert": "always",
        "pools": pools,
        "local": {"auth": "pubkey", "id": settings.host},
        "remote": {"auth": "pubkey", "id": identity, "cacerts": [issuer.issuing.encode()]},
        "children": {
            "net": {
                # Of narrower ones charon's own ESP takes only those that the gateway has an address in; the firewall
                # is what keeps to `allowed_ips`.
                "local_ts": [EVERYTHING[network.version] for network in settings.client_networks],
                "remote_ts": ["dynamic"],
                "esp_proposals": list(ESP_PROPOSALS),
                "rekey_time": "1h",
                "dpd_action": "clear",
                **bound,
            }
        },
    }
