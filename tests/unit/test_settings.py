"""What a stack's settings refuse, and how they say it."""

import base64
import json
from collections.abc import Mapping
from typing import Any

import pytest
import trustme

from gateway.agent.pool import Pool
from infra.settings.loading import SettingsError, load
from infra.settings.section import is_text
from infra.settings.stack import StackSettings
from tests.certificates import CA

GATEWAY: dict[str, Any] = {"name": "one", "endpoint": "vpn.example.com:31820"}
METAL: dict[str, Any] = {"name": "edge", "endpoint": "edge.example.com:51820", "target": "metal"}
GOOD: dict[str, Any] = {
    "headscale": {"managed": True, "url": "https://headscale.example.com"},
    "gateways": [GATEWAY],
}
BOTH = ["wireguard", "openvpn"]
IPSEC = ["wireguard", "ipsec"]
PLAIN: dict[str, Any] = {"gateways": [GATEWAY]}


def pair(host: str) -> tuple[str, str]:
    """A certificate for that host, and its key."""
    issued = trustme.CA().issue_cert(host)
    return issued.cert_chain_pems[0].bytes().decode(), issued.private_key_pem.bytes().decode()


PAIR, OTHER = pair("headscale.example.com"), pair("other.example.com")


def load_values(values: Mapping[str, Any]) -> StackSettings:
    def get(key: str) -> object | None:
        value = values.get(key)
        return value if value is None or is_text(StackSettings, key) else json.dumps(value)

    return load(get, values)


def with_gateway(**changes: object) -> dict[str, Any]:
    return GOOD | {"gateways": [GATEWAY | changes]}


def with_metal(**changes: object) -> dict[str, Any]:
    return GOOD | {"gateways": [METAL | changes]}


def with_headscale(**changes: object) -> dict[str, Any]:
    return GOOD | {"headscale": GOOD["headscale"] | changes}


def with_pair(certificate: str, key: str, url: str = GOOD["headscale"]["url"]) -> dict[str, Any]:
    return with_headscale(url=url, ingress={"certificate": certificate}) | {"headscale_ingress_key": key}


def test_the_smallest_stack_has_working_defaults() -> None:
    settings = load_values(GOOD)
    gateway = settings.gateways[0]
    assert (settings.namespace, settings.create_namespace, settings.orchestrator) == ("headscale", True, None)
    assert (gateway.port, gateway.hostname, gateway.mtu, gateway.ipv6) == (31820, "meshgate-one", 1280, False)


def test_without_headscale_or_by_its_own_word_a_gateway_is_plain() -> None:
    for values in (PLAIN, PLAIN | {"headscale": {}}, with_gateway(mesh=False)):
        settings = load_values(values)
        assert settings.mesh(settings.gateways[0]) is None
    settings = load_values(GOOD)
    assert settings.mesh(settings.gateways[0]) is settings.headscale


def test_a_previous_key_has_a_port_of_its_own_until_its_time() -> None:
    (gateway,) = load_values(with_gateway(previous_key={"port": 31819, "until": "2100-01-01"})).gateways
    assert [(port.name, port.server, port.listened) for port in gateway.client_ports] == [
        ("wireguard", "wireguard", 31820),
        ("previous-key", "wireguard-previous", 31819),
    ]
    assert gateway.previous_endpoint == "vpn.example.com:31819"
    (gateway,) = load_values(with_gateway(previous_key={"port": 31820, "until": "2020-01-01"})).gateways
    assert (len(gateway.client_ports), gateway.previous, gateway.previous_endpoint) == (1, None, None)


def test_a_policy_is_an_object_or_text() -> None:
    acls: list[object] = [{"action": "accept", "src": ["*"], "dst": ["*:*"]}]
    for given in ({"acls": acls}, f'{{"acls": {json.dumps(acls)},}} // all'):
        headscale = load_values(with_headscale(policy=given)).headscale
        assert headscale
        assert headscale.policy == {"acls": acls}


def test_an_empty_orchestrator_is_none_and_a_named_one_has_junes_names() -> None:
    assert load_values(GOOD | {"orchestrator": {}}).orchestrator is None
    orchestrator = load_values(GOOD | {"orchestrator": {"deployment": "june-orchestrator"}}).orchestrator
    assert orchestrator is not None
    assert (orchestrator.namespace, orchestrator.container) == ("june-services", "orchestrator")


def test_values_may_come_as_they_are_or_as_json() -> None:
    assert load(GOOD.get) == load_values(GOOD)


def test_a_number_like_api_key_stays_text() -> None:
    values = with_headscale(managed=False) | {"headscale_api_key": "12345"}
    key = load(values.get).headscale_api_key
    assert key is not None
    assert key.get_secret_value() == "12345"
    assert "12345" not in repr(load(values.get))


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (GOOD | {"gatewayz": []}, "meshgate:gatewayz: there is no such setting; known here are access, cluster"),
        (
            with_headscale(ingress={"tls_secret": "one", "tls": "two"}),
            "meshgate:headscale.ingress.tls: there is no such setting; known here are annotations, certificate, class_",
        ),
        (with_gateway(mtuu=1), "meshgate:gateways[0].mtuu: there is no such setting; known here are access"),
        (GOOD | {"gateways": []}, "gateways is empty, so nobody gets in; list a gateway, or set access: [mesh]"),
        (GOOD | {"access": ["wireguard"]}, "meshgate:access[0]: 'wireguard' cannot be used"),
        (GOOD | {"mesh_clients": {"key_minutes": 5}}, "mesh_clients is set, but `access` lacks mesh"),
        (PLAIN | {"access": ["mesh"]}, "access has mesh, but there is no `headscale` to join"),
        (with_gateway(client_networks=["100.100.0.0/16"]), "meshgate:gateways[0].client_networks[0]: 100.100.0.0/16"),
        (with_gateway(client_networks=["10.244.8.0/24"]), "overlaps 10.244.0.0/16 of cluster.pod_networks"),
        (with_gateway(client_networks=["10.96.8.0/24"]), "overlaps 10.96.0.0/12 of cluster.service_networks"),
        (
            with_gateway(client_networks=["10.97.0.0/24"])
            | {"cluster": {"service_networks": [], "node_networks": ["10.97.0.0/28"]}},
            "overlaps 10.97.0.0/28 of cluster.node_networks",
        ),
        (
            with_gateway(allow_networks=["10.5.1.0/24"], block_networks=["10.5.0.0/16"]),
            "allow_networks 10.5.1.0/24 opens nothing: it lies inside 10.5.0.0/16 of block_networks, which win.",
        ),
        (
            with_gateway(allow_networks=["10.77.1.0/24"]),
            "allow_networks 10.77.1.0/24 opens nothing: it lies inside 10.77.0.0/16 of client_networks",
        ),
        (
            with_gateway(allow_networks=["10.5.1.1/24"]),
            "meshgate:gateways[0].allow_networks[0]: '10.5.1.1/24' is not a",
        ),
        (with_gateway(block_networks=["google"]), "meshgate:gateways[0].block_networks[0]: 'google' is not a network"),
        (with_gateway(node_ports=[0]), "meshgate:gateways[0].node_ports[0]: 0 cannot be used: it should be greater"),
        (
            with_gateway(api_from=[{}]),
            "meshgate:gateways[0].api_from[0]: give a network, or a namespace and pod_labels",
        ),
        (
            with_gateway(api_from=[{"network": "10.0.0.0/24", "namespace": "june"}]),
            "meshgate:gateways[0].api_from[0]: give a network, or a namespace and pod_labels (one of them or both).",
        ),
        (
            with_gateway(api_from=[{"labels": {"app": "june"}}]),
            "api_from[0].labels: there is no such setting; known here are namespace, network, pod_labels",
        ),
        (with_metal(api_from=[{"namespace": "june"}]), "meshgate:gateways[0]: api_from describe a pod; leave"),
        (with_gateway(client_networks=["10.77.0.1/16"]), "meshgate:gateways[0].client_networks[0]: "),
        (with_gateway(client_networks=["10.77.0.0/31"]), "no room for the gateway and a device"),
        (with_gateway(client_networks=["fd77::/64"]), "no IPv4 network"),
        (with_gateway(client_networks=["10.77.0.0/16", "10.78.0.0/16"]), "of one family"),
        (with_gateway(endpoint="vpn.example.com"), "meshgate:gateways[0].endpoint: 'vpn.example.com' is not host:port"),
        (with_gateway(endpoint="vpn.example.com:70000"), "is not host:port"),
        (with_gateway(endpoint="vpn.example.com:41641"), "port 41641 is tailscaled's own"),
        (with_gateway(endpoint="vpn.example.com:51820"), "is no NodePort; use 30000-32767"),
        (with_gateway(tailscale_port=41641), "tailscale_port 41641"),
        (with_gateway(tailscale_port=31820), "endpoint port 31820 is also tailscale_port"),
        (with_gateway(mtu=1500), "meshgate:gateways[0].mtu: 1500 cannot be used: it should be less than"),
        (with_gateway(mtu=1279), "mtu: 1279 cannot be used: it should be greater than or equal to 1280."),
        (with_metal(endpoint="edge.example.com:41641"), "port 41641 is tailscaled's own"),
        (with_metal(target="vm"), "meshgate:gateways[0].target: 'vm' cannot be used: it should be 'kubernetes' or"),
        (
            with_metal(monitoring={"namespace": "monitoring"}),
            "meshgate:gateways[0]: monitoring describe a pod; leave them out or set target: kubernetes.",
        ),
        (with_gateway(monitoring={}), "meshgate:gateways[0].monitoring.namespace: it is missing and has no default."),
        (with_gateway(monitoring={"namespace": "m", "interval": "30"}), "gateways[0].monitoring.interval: '30'"),
        (
            with_metal(exposure="HostPort", storage="2Gi"),
            "meshgate:gateways[0]: exposure, storage describe a pod; leave them out or set target: kubernetes.",
        ),
        (
            with_gateway(host="192.0.2.1", peers_url="http://10.0.0.5:8080"),
            "meshgate:gateways[0]: host, peers_url describe a machine; leave them out or set target: metal.",
        ),
        (with_metal(host="-oProxyCommand=x"), "host: '-oProxyCommand=x' is neither a host name nor an IP address"),
        (with_metal(peers_url="10.0.0.5:8080"), "is not a URL such as http://10.0.0.5:8080 or https://"),
        (with_metal(peers_url="http://10.0.0.5:80800"), "://gateway.example.com (Port out of range 0-65535)."),
        (
            with_metal(peers_url="http://203.0.113.9:8080"),
            "would carry the token in clear text outside a private network; use https://, or http:// with a private",
        ),
        (with_metal(peers_url="http://gateway.internal:8080"), "would carry the token in clear text"),
        (with_metal(peers_url="http://10.0.0.5:8081"), "probe_port 8081 is also the port of peers_url; they need two"),
        (with_metal(peers_url="https://edge.example.com", probe_port=443), "probe_port 443 is also the port of peers"),
        (with_metal(peers_url="https://me:pw@gateway.example.com"), "must not hold credentials"),
        (
            with_metal() | {"orchestrator": {"deployment": "june-orchestrator"}},
            "gateways[0].peers_url is missing: the orchestrator lets devices in there; give for example "
            "http://10.0.0.5:8080, or leave `orchestrator` out",
        ),
        (
            GOOD | {"orchestrator": {"deployment": "june-orchestrator", "gateway": "two"}},
            "orchestrator.gateway two is no gateway; there are one.",
        ),
        (
            GOOD | {"gateways": [METAL, METAL | {"name": "two", "endpoint": "edge.example.com:51821"}]},
            "gateways share the host edge.example.com; each needs its own",
        ),
        (with_gateway(name="One Gateway"), "meshgate:gateways[0].name: 'One Gateway' is not a name"),
        (GOOD | {"gateways": [GATEWAY, GATEWAY]}, "gateways share the name one"),
        (
            GOOD | {"gateways": [GATEWAY, GATEWAY | {"name": "two", "endpoint": "vpn.example.com:31821"}]},
            "gateways[1].client_networks 10.77.0.0/16 overlaps 10.77.0.0/16 of gateways[0].client_networks",
        ),
        (with_headscale(url="http://headscale.example.com"), "would carry the API key in clear text"),
        (with_headscale(url="headscale.example.com"), "is not a URL"),
        (with_headscale(url="https://user:secret@headscale.example.com"), "must not hold credentials"),
        (with_headscale(ca_certificate="/etc/ca.crt"), "is not a certificate in PEM form"),
        (with_headscale(ca_certificate=CA + CA.replace("MII", "MI")), "certificate 2 in it cannot be read"),
        (with_headscale(policy='{"acls": [}'), "meshgate:headscale.policy: it is not HuJSON: Expecting value near"),
        (with_headscale(policy={"acl": []}), "meshgate:headscale.policy: Headscale's policies have no section acl;"),
        (with_headscale(policy=["acls"]), "meshgate:headscale.policy: it is not a policy: give an object"),
        (with_headscale(managed=False), "headscale_api_key is missing"),
        (with_headscale(managed=False, node_port=30080) | {"headscale_api_key": "k"}, "node_port describe a server"),
        (GOOD | {"headscale_api_key": "k"}, "a managed server makes its own"),
        (PLAIN | {"headscale_api_key": "k"}, "headscale_api_key is set, but there is no `headscale`"),
        ({"gateways": [GATEWAY | {"tags": ["tag:a"]}]}, "gateways[0]: tags describe a node of the mesh"),
        (with_gateway(access=[]), "gateways[0].access"),
        (
            with_gateway(access=["ipsec"], exposure="HostPort", wireguard="kernel", persistent_keepalive=5),
            "gateways[0]: persistent_keepalive, wireguard: set, but `access` does not have wireguard; add it there, or",
        ),
        (with_gateway(access=["wireguard", "pptp"]), "gateways[0].access"),
        (with_gateway(previous_key={"until": "2100-01-01"}), "meshgate:gateways[0].previous_key.port: it is missing"),
        (with_gateway(previous_key={"port": 31820}), "endpoint port 31820 is also previous_key.port; they need two"),
        (with_gateway(previous_key={"port": 51820}), "previous_key.port 51820 is no NodePort; use 30000-32767"),
        (with_metal(previous_key={"port": 41642}), "previous_key.port 41642 is also tailscale_port; they need two"),
        (
            with_gateway(access=["openvpn"], openvpn={"udp_port": 31194}, previous_key={"port": 31819}),
            "previous_key: set, but `access` does not have wireguard",
        ),
        (with_gateway(openvpn={"udp_port": 31194}), "openvpn is set, but `access` does not have it"),
        (with_gateway(access=BOTH), "openvpn.udp_port 1194 is no NodePort; use 30000-32767 or another exposure"),
        (with_gateway(access=BOTH, openvpn={"udp_port": 31194, "tcp_port": 443}), "openvpn.tcp_port 443 is no NodeP"),
        (with_gateway(access=BOTH, openvpn={"udp_port": None}), "there is neither udp_port nor tcp_port"),
        (with_gateway(access=BOTH, openvpn={"udp_port": 31820}), "endpoint port 31820 is also openvpn.udp_port"),
        (
            with_gateway(access=BOTH, openvpn={"udp_port": 31194}, tailscale_port=1194),
            "tailscale_port 1194 is OpenVPN's inside the pod; choose another one",
        ),
        (
            with_gateway(
                access=BOTH, openvpn={"udp_port": 31194}, exposure="LoadBalancer", endpoint="vpn.example.com:1194"
            ),
            "endpoint port 1194 is OpenVPN's inside the pod; choose another one",
        ),
        (with_gateway(access=IPSEC), "access has ipsec, whose clients dial ports 500 and 4500, and no NodePort is one"),
        (
            with_gateway(access=IPSEC, exposure="HostPort", endpoint="a.example:4500"),
            "endpoint port 4500 is also ipsec's port",
        ),
        (
            with_gateway(access=IPSEC, exposure="HostPort", tailscale_port=4500),
            "ipsec's port 4500 is also tail",
        ),
        (with_gateway(access=IPSEC, exposure="HostPort", allowed_ips=["10.0.0.0/8"]), "allowed_ips lacks 0.0.0.0/0"),
        (
            with_metal(access=[*BOTH, "ipsec"], openvpn={"udp_port": 4500}),
            "openvpn.udp_port 4500 is also ipsec's port; they need two ports",
        ),
        (with_metal(access=BOTH, openvpn={"udp_port": 51820}), "endpoint port 51820 is also openvpn.udp_port"),
        (with_metal(access=BOTH, openvpn={"udp_port": 41642}), "openvpn.udp_port 41642 is also tailscale_port"),
        (with_metal(access=BOTH, openvpn={"tcp_port": 8081}), "openvpn.tcp_port 8081 is also probe_port"),
        (
            with_metal(access=BOTH, openvpn={"tcp_port": 8080}, peers_url="http://10.0.0.5:8080"),
            "openvpn.tcp_port 8080 is also the port of peers_url",
        ),
        (with_gateway(mesh=False, tags=["tag:a"], tailscale_port=41700), "gateways[0]: tags, tailscale_port describe"),
        (
            with_headscale(ingress={}),
            "meshgate:headscale.ingress: give tls_secret or certificate, one of them, so that the host of headscale.ur",
        ),
        (with_headscale(ingress={"tls_secret": "A"}), "ingress.tls_secret: 'A' is not an object's name of lower-case"),
        (
            with_headscale(ingress={"tls_secret": "tls", "annotations": {"pulumi.com/skipAwait": "false"}}),
            "meshgate:headscale.ingress.annotations: pulumi.com/skipAwait: the stack sets that itself; leave it out.",
        ),
        (with_gateway(service_annotations={"a b": "c"}), "service_annotations: 'a b' is not a key such as team or"),
        (
            with_gateway(api_from=[{"pod_labels": {"app": "my app"}}]),
            "pod_labels: app: 'my app' is not a label's value",
        ),
        (
            with_headscale(ingress={"certificate": PAIR[0]}),
            "headscale_ingress_key is missing: headscale.ingress.certificate needs its key; run `pulumi config set",
        ),
        (
            GOOD | {"headscale_ingress_key": PAIR[1]},
            "headscale_ingress_key is set, but headscale.ingress has no `certi",
        ),
        (
            with_pair(OTHER[0], PAIR[1]),
            "headscale_ingress_key is not the key of headscale.ingress.certificate; give the",
        ),
        (with_pair(*OTHER), "is for other.example.com, and headscale.url has headscale.example.com; give one for that"),
        (
            with_pair(*PAIR, url="https://a.headscale.example.com"),
            "is for headscale.example.com, and headscale.url has a.",
        ),
        (
            with_pair("-----BEGIN CERTIFICATE-----", PAIR[1]),
            "headscale.ingress.certificate: it is not a certificate in PEM",
        ),
        (with_pair(PAIR[0], PAIR[0]), "headscale_ingress_key is not a private key in PEM form without a passphrase."),
    ],
)
def test_bad_settings_get_one_clear_sentence(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SettingsError) as error:
        load_values(values)
    assert sentence in str(error.value)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("values", "ports"),
    [
        (with_gateway(access=["openvpn"], endpoint="a.example:51820", openvpn={"udp_port": 31194}), [(31194, 1194)]),
        (
            with_gateway(access=["openvpn"], endpoint="a.example:1194", exposure="LoadBalancer", tailscale_port=1200),
            [(1194, 1194)],
        ),
        (
            with_gateway(access=["ipsec"], endpoint="a.example:500", exposure="HostPort"),
            [(500, 500), (4500, 4500)],
        ),
        (
            with_metal(access=["ipsec", "openvpn"], endpoint="a.example:41642"),
            [(1194, 1194), (500, 500), (4500, 4500)],
        ),
    ],
    ids=["any port", "OpenVPN's", "IPsec's", "tailscaled's"],
)
def test_without_wireguard_the_endpoints_port_is_nobodys(values: dict[str, Any], ports: list[tuple[int, int]]) -> None:
    (gateway,) = load_values(values).gateways
    assert [(port.published, port.listened) for port in gateway.client_ports] == ports
    assert all(endpoint.startswith("udp:a.example:") for endpoint in gateway.openvpn_endpoints)


def test_a_machine_needs_no_more_than_an_endpoint() -> None:
    gateway = load_values(with_metal()).gateways[0]
    assert (gateway.port, gateway.ssh_host, gateway.peers_url) == (51820, "edge.example.com", None)
    assert load_values(with_metal(host="192.0.2.7")).gateways[0].ssh_host == "192.0.2.7"
    assert load_values(with_metal(endpoint="[2001:db8::7]:51820")).gateways[0].ssh_host == "2001:db8::7"
    assert load_values(GOOD).gateways[0].ssh_host is None


@pytest.mark.parametrize(
    "url",
    [
        "http://10.0.0.5:8080",
        "http://192.168.1.2",
        "http://127.0.0.1:8080",
        "http://[fd10:213::14]:8080",
        "https://gateway.example.com",
        "https://203.0.113.9:8443/",
    ],
)
def test_the_peer_api_of_a_machine_is_private_or_encrypted(url: str) -> None:
    assert load_values(with_metal(peers_url=url)).gateways[0].peers_url == url.rstrip("/")


def test_what_the_cluster_uses_is_free_to_the_clients_of_a_machine() -> None:
    assert load_values(with_metal(client_networks=["10.96.8.0/24"]))
    with pytest.raises(SettingsError, match=r"gateways\[1\].client_networks 10.77.0.0/16 overlaps 10.77.0.0/16"):
        load_values(GOOD | {"gateways": [GATEWAY, METAL]})


def test_every_bad_setting_is_named_at_once() -> None:
    with pytest.raises(SettingsError) as error:
        load_values(GOOD | {"gateways": [GATEWAY | {"mtu": 1, "name": "-"}]})
    assert len(str(error.value).splitlines()) == 2


def test_a_refused_url_with_a_password_is_not_repeated() -> None:
    with pytest.raises(SettingsError) as error:
        load_values(with_headscale(url="https://user:secret@headscale.example.com"))
    assert "secret" not in str(error.value)


def test_a_refused_api_key_is_not_repeated() -> None:
    with pytest.raises(SettingsError, match=r"^meshgate:headscale_api_key: it is not text\.$"):
        load((with_headscale(managed=False) | {"headscale_api_key": 12345}).get)


KEY = base64.b64encode(bytes(range(32))).decode()


def test_an_existing_key_is_a_secret() -> None:
    (gateway,) = load_values(with_gateway(private_key=KEY)).gateways
    assert gateway.private_key
    assert gateway.private_key.get_secret_value() == KEY
    assert KEY not in repr(gateway) + gateway.model_dump_json()


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (
            with_gateway(private_key=KEY[:-4]),
            "meshgate:gateways[0].private_key: it is not a WireGuard key: 44 characters of base64 that stand for 32 "
            "bytes.",
        ),
        (with_gateway(private_key=[KEY]), "meshgate:gateways[0].private_key: it is not text."),
        (with_gateway(key_privat=KEY), "meshgate:gateways[0].key_privat: there is no such setting; known here are "),
        (GOOD | {"gateways": [KEY]}, "meshgate:gateways[0]: it is not a section, which is settings by their names"),
        (GOOD | {"gateways": f'[{{"private_key": "{KEY}"}}'}, "meshgate:gateways: it is not a list."),
        (
            with_gateway(private_key=KEY, access=["openvpn"], openvpn={"udp_port": 31194}),
            "meshgate:gateways[0]: private_key: set, but `access` does not have wireguard; add it there, or leave them "
            "out.",
        ),
    ],
)
def test_a_refused_key_is_not_repeated(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SettingsError) as error:
        load_values(values)
    assert str(error.value).startswith(sentence)
    assert KEY[:20] not in str(error.value)


@pytest.mark.parametrize(
    "networks", [["10.77.0.0/29"], ["10.77.0.0/16"], ["10.76.0.0/15"], ["10.77.0.0/24", "fd77::/126"]]
)
def test_the_agent_has_addresses_for_as_many_devices(networks: list[str]) -> None:
    (gateway,) = load_values(with_gateway(client_networks=networks)).gateways
    assert gateway.capacity == Pool(gateway.client_networks).capacity


@pytest.mark.parametrize("host", ["headscale.example.com", "*.example.com"])
def test_a_certificate_for_the_urls_host_is_taken_with_its_key(host: str) -> None:
    key = load_values(with_pair(*pair(host))).headscale_ingress_key
    assert key is not None
    assert "PRIVATE KEY" in key.get_secret_value()
    assert "PRIVATE KEY" not in repr(load_values(with_pair(*pair(host))))


def test_a_private_key_is_in_no_sentence() -> None:
    with pytest.raises(SettingsError) as error:
        load_values(GOOD | {"headscale_ingress_key": [PAIR[1]]})
    assert str(error.value) == "meshgate:headscale_ingress_key: it is not text."
