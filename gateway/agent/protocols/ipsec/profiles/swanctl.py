"""For strongSwan on Linux: a shell script that puts files where swanctl looks for them, and loads them."""

from collections.abc import Iterator

from gateway.agent.protocols.ipsec.device_connections import ESP_PROPOSALS, EVERYTHING, IKE_PROPOSALS
from gateway.agent.protocols.ipsec.profiles.identity import Identity
from gateway.agent.settings import AgentSettings

ANY = {4: "0.0.0.0", 6: "::"}  # noqa: S104 - how a client asks for an address
# keyingtries: a client that gets no answer goes on trying. close_action: so does one that the gateway takes leave of.
_CONNECTION = """\
connections {{
    meshgate {{
        version = 2
        remote_addrs = {host}
        proposals = {ike}
        vips = {vips}
        encap = yes
        mobike = yes
        keyingtries = 0
        dpd_delay = 10s
        local {{
            auth = pubkey
            id = fqdn:{name}
            certs = meshgate.pem
        }}
        remote {{
            auth = pubkey
            id = {host}
            cacerts = meshgate-ca.pem
        }}
        children {{
            meshgate {{
                remote_ts = {networks}
                esp_proposals = {esp}
                start_action = start
                close_action = start
                dpd_action = restart
            }}
        }}
    }}
}}
"""
# By its defaults strongSwan gives a gateway that has gone up after 165 s, by these after 10.
_PATIENCE = """\
charon-systemd {
    retransmit_timeout = 1.0
    retransmit_base = 1.4
    retransmit_tries = 4
}
charon {
    retransmit_timeout = 1.0
    retransmit_base = 1.4
    retransmit_tries = 4
}
"""
_HEAD = """\
#!/bin/sh
# Meshgate: run this as root on a machine with strongSwan (charon-systemd and swanctl).
set -eu
umask 077
at=${SWANCTL_DIR:-/etc/swanctl}
settings=${STRONGSWAN_DIR:-/etc/strongswan.d}
"""
_TAIL = """\
swanctl --reload-settings
swanctl --load-all
"""


def profile(identity: Identity, settings: AgentSettings) -> str:
    """The script; without a private key it says where the device puts its own."""
    own = [network.version for network in settings.client_networks]
    connection = _CONNECTION.format(
        host=identity.host,
        name=identity.name,
        ike=", ".join(IKE_PROPOSALS),
        esp=", ".join(ESP_PROPOSALS),
        vips=", ".join(ANY[version] for version in own),
        networks=", ".join(EVERYTHING[version] for version in own),
    )
    files = {
        "$at/x509ca/meshgate-ca.pem": identity.ca,
        **_chain(identity.chain),
        "$at/conf.d/meshgate.conf": connection,
        "$settings/meshgate.conf": _PATIENCE,
    }
    if identity.private_key:
        files["$at/private/meshgate.pem"] = identity.private_key
    missing = "" if identity.private_key else "# Put the device's private key into $at/private/meshgate.pem first.\n"
    return _HEAD + missing + "".join(_written(files)) + _TAIL


def _chain(chain: str) -> dict[str, str]:
    own, mark, issuing = chain.partition("-----END CERTIFICATE-----\n")
    return {"$at/x509/meshgate.pem": own + mark, "$at/x509ca/meshgate-issuing.pem": issuing}


def _written(files: dict[str, str]) -> Iterator[str]:
    for path, text in files.items():
        yield f"cat > {path} <<'MESHGATE'\n{text}MESHGATE\n"
