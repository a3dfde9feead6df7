"""What is around a user's cluster: TLS in front of Headscale, the mesh peer, a host of the Internet."""

from pathlib import Path

from lab import paths
from lab.cluster.pki import Pki
from lab.network import topology
from lab.network.addresses import CLUSTER
from lab.network.sandbox import in_network
from lab.processes.supervision import Part

MESH_PEER_STATE = paths.STATE / "peer"
MESH_PEER_SOCKET = paths.RUN / "mesh-peer.sock"

HEADSCALE_NODE_PORT = 30080
"""Where the stack `lab` publishes its Headscale (headscale.node_port in Pulumi.lab.yaml)."""


def tls_front(pki: Pki) -> Part:
    """TLS in front of Headscale, with the lab's own CA, as an ingress does it for a user.

    Headscale's control protocol is an HTTP/1.1 upgrade that stays open, so nothing is buffered.
    """
    config = f"""\
daemon off;
user root;
worker_processes 1;
pid /run/nginx.pid;
error_log /dev/stderr warn;
events {{}}
http {{
    access_log off;
    client_body_temp_path /run/nginx-body;
    proxy_temp_path /run/nginx-proxy;
    fastcgi_temp_path /run/nginx-fastcgi;
    uwsgi_temp_path /run/nginx-uwsgi;
    scgi_temp_path /run/nginx-scgi;
    map $http_upgrade $connection_upgrade {{
        default upgrade;
        "" close;
    }}
    server {{
        listen {topology.NODE_IPV4}:443 ssl;
        listen [{topology.NODE_IPV6}]:443 ssl;
        ssl_certificate {pki.certificate("tls-front")};
        ssl_certificate_key {pki.key("tls-front")};
        location / {{
            proxy_pass http://{CLUSTER.host}:{HEADSCALE_NODE_PORT};
            proxy_http_version 1.1;
            proxy_set_header Host $host;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Proto https;
            proxy_buffering off;
            proxy_request_buffering off;
            proxy_read_timeout 1h;
            proxy_send_timeout 1h;
        }}
    }}
}}
"""
    path = paths.CONFIG / "nginx.conf"
    return Part("tls-front", ["nginx", "-e", "/dev/stderr", "-c", path], files={path: config})


def mesh_peer(tailscaled: Path, pki: Pki) -> Part:
    """A mesh peer's tailscaled; `lab.mesh.peer` lets it join."""
    return Part(
        "mesh-peer",
        [
            *in_network(topology.MESH_PEER),
            tailscaled,
            f"--statedir={MESH_PEER_STATE}",
            f"--socket={MESH_PEER_SOCKET}",
            "--port=41641",
            "--no-logs-no-support",
        ],
        environment={"SSL_CERT_FILE": str(pki.ca), "TS_DEBUG_FIREWALL_MODE": "nftables"},
    )


def http_host(name: str, namespace: str, python: Path) -> Part:
    """A web server that says who it is and who asks, in a namespace of its own."""
    script = Path(__file__).parent.parent / "mesh" / "http_host.py"
    return Part(name, [*in_network(namespace), python, script, name.removesuffix("-http")])
