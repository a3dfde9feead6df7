"""A bare-metal gateway by playbook, over SSH, on a real Debian: what a plain inventory's user sees."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra import certificate_authority
from lab.machines.metal import Machine
from lab.mesh import peer
from lab.network import ipsec_client, openvpn_client, topology
from lab.network.tunnel_client import TunnelClient
from lab.network.wireguard_client import Client
from lab.tools import go_builds, pinned_tools
from tests.deadlines import wait_for
from tests.device_paths import device_path
from tests.e2e import lab_world, metal_world
from tests.e2e.metal_world import MetalGateway
from tests.pings import pinging

pytestmark = pytest.mark.timeout(400)

MOMENTS = (
    "wireguard : Copy the artifact",
    "wireguard : Unpack the artifact",
    "tailscale : Run tailscaled",
    "tailscale : Join the mesh",
    "wireguard : Install the unit of the interface",
    "wireguard : Run the agent",
)


@pytest.fixture(scope="module")
def machine(stack: object) -> Iterator[Machine]:
    """A Debian with Tailscale's package, which nobody has logged in."""
    with metal_world.machine_with_tailscale("edge") as machine:
        yield machine


@pytest.fixture(scope="module")
def before(machine: Machine) -> dict[str, list[str]]:
    """What the machine was like before it became a gateway."""
    return metal_world.snapshot(machine)


@pytest.fixture(scope="module")
def host(before: object, machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> MetalGateway:
    """The machine with its inventory."""
    return MetalGateway(machine, tmp_path_factory.mktemp("gateway"))


@pytest.fixture
def gateway(host: MetalGateway) -> MetalGateway:
    """The converged gateway; tests leave it so, or remove it."""
    if not host.there:
        started = time.monotonic()
        played = host.play("gateway")
        print(f"\nfrom nothing: {time.monotonic() - started:.1f} s, {played.tasks} tasks")  # noqa: T201 (a figure)
    return host


@pytest.fixture
def nothing(host: MetalGateway) -> MetalGateway:
    """The machine without a gateway."""
    if host.there:
        host.play("remove")
    return host


@pytest.fixture
def client(gateway: MetalGateway) -> Iterator[Client]:
    with gateway.client("native") as client:
        yield client


def assert_passes(gateway: MetalGateway, client: TunnelClient) -> None:
    """To the mesh as the node, to the Internet as the machine, IPv4 and IPv6, with large packets too."""
    with lab_world.headscale() as headscale:
        mesh_peer = lab_world.node_named(headscale, peer.HOSTNAME)
    for url, address in zip(lab_world.urls(mesh_peer), gateway.node().addresses, strict=True):
        assert client.identify(url, 20) == {"host": "mesh-peer", "caller": address}
    for url, address in zip(lab_world.INTERNET, gateway.machine.outside, strict=True):
        assert client.identify(url, 20) == {"host": "internet-host", "caller": address}
    assert client.download(f"{lab_world.INTERNET[0]}/download/5000000") == 5_000_000


def test_a_native_client_passes_to_the_mesh_and_to_the_internet(gateway: MetalGateway, client: Client) -> None:
    assert gateway.node().is_exit
    assert_passes(gateway, client)


def test_a_device_that_is_gone_leaves_no_connection(gateway: MetalGateway) -> None:
    with gateway.client("leaver") as client:
        client.fetch(lab_world.INTERNET[0], 20)
        assert connections(gateway) != ""
    wait_for(lambda: connections(gateway) == "", "the end of its connections")


def connections(gateway: MetalGateway) -> str:
    """Those of devices, as the agent itself sees the kernel's table."""
    agent = gateway.processes()["meshgate-agent.service"]
    listing = ("conntrack", "-L", "-s", metal_world.CLIENT_NETWORKS[0])
    return gateway.machine.ssh("nsenter", f"--target={agent}", "--mount", *listing)


def test_verify_names_each_part(gateway: MetalGateway) -> None:
    played = gateway.play("verify")
    assert played.changed == []
    assert played.output.count(": works") == 13


def test_a_second_run_changes_nothing(gateway: MetalGateway) -> None:
    processes, started = gateway.processes(), time.monotonic()
    played = gateway.play("gateway")
    print(f"\nno change: {time.monotonic() - started:.1f} s, {played.tasks} tasks")  # noqa: T201 (a figure)
    assert played.changed == []
    assert gateway.processes() == processes


def test_check_shows_just_the_change_and_does_nothing(gateway: MetalGateway) -> None:
    processes = gateway.processes()
    other = MetalGateway(gateway.machine, gateway.directory, {"mtu": 1340})
    played = other.play("gateway", "--check", "--diff")
    assert played.changed == ["wireguard : Give the agent its settings", "wireguard : Run the agent"]
    lines = [line for line in played.output.splitlines() if line.startswith(("-", "+")) and line[1] not in "-+"]
    assert lines == ["-MESHGATE_MTU=1280", "+MESHGATE_MTU=1340", "+meshgate-agent.service: its files change"]
    assert gateway.play("gateway", "--check").changed == []
    assert gateway.processes() == processes


def test_a_changed_setting_and_an_upgrade_lose_no_packet(gateway: MetalGateway, client: Client, tmp_path: Path) -> None:
    assert_passes(gateway, client)
    processes = gateway.processes()
    other = MetalGateway(gateway.machine, gateway.directory, {"mtu": 1340})
    upgrade = str(metal_world.other_artifact(tmp_path))
    with pinging(client.inside, topology.INTERNET_IPV4, interval_s=0.05) as pings:
        played = other.play("gateway", meshgate_artifact=upgrade)
        assert "wireguard : Unpack the artifact" in played.changed
        after = gateway.processes()
        assert {name for name in processes if after[name] != processes[name]} == {"meshgate-agent.service"}
        assert other.api("GET", "/v1/peers").json()["peers"][0]["mtu"] == 1340
        gateway.play("gateway")
    assert pings.lost == []
    assert gateway.processes()["meshgate-wireguard.service"] == processes["meshgate-wireguard.service"]


def test_a_rotated_key_and_the_one_before_it_lose_no_packet(gateway: MetalGateway, client: Client) -> None:
    """There and back again: the second rotation takes the first interface, and leaves the gateway as it was."""
    assert_passes(gateway, client)
    rotation(gateway, client, 51820, 51821)
    rotation(gateway, client, 51821, 51820)
    assert gateway.play("gateway").changed == []
    units = gateway.machine.ssh("ls", "/etc/systemd/system").split()
    assert "meshgate-wireguard.service" in units
    assert "meshgate-wireguard-1.service" not in units
    assert "previous" not in gateway.machine.ssh("sh", "-c", "ls /etc/meshgate; cat /etc/meshgate/gateway.env").lower()


def rotation(gateway: MetalGateway, client: Client, old_port: int, new_port: int) -> None:
    """One from beginning to end: a play is killed in between, and the client moves."""
    endpoint = f"{gateway.machine.ipv4}:{new_port}"
    both = MetalGateway(gateway.machine, gateway.directory, {"endpoint": endpoint, "previous_key": {"port": old_port}})
    old_key, agent = public_key(gateway), gateway.processes()["meshgate-agent.service"]
    interfaces = wireguard_processes(gateway)
    with pinging(client.inside, topology.INTERNET_IPV4, interval_s=0.05) as pings:
        for task in ("wireguard : Give the agent its settings", "wireguard : Run the agent"):
            both.kill_at(task)
        both.play("gateway")
    assert pings.lost == []
    assert interfaces.items() < wireguard_processes(gateway).items(), "the old interface goes on"
    assert gateway.processes()["meshgate-agent.service"] != agent
    assert both.play("gateway").changed == []
    left = "the WireGuard key before the present one: works, and devices that still use it: {} of"
    assert left.format(1) in both.play("verify").said
    new_key = public_key(gateway)
    assert new_key != old_key
    with both.client("newcomer") as newcomer:
        assert new_key in newcomer.run(["wg", "show", "wg0", "peers"])
        assert lab_world.passes(newcomer, lab_world.INTERNET[0], 10)
        assert_passes(both, client)

    lab_world.move(client, old_key, new_key, endpoint)
    wait_for(lambda: lab_world.passes(client, lab_world.INTERNET[0], 1), "the client, by the new key")
    wait_for(lambda: left.format(0) in both.play("verify").said, "the count of those left", within=60)
    with pinging(client.inside, topology.INTERNET_IPV4, interval_s=0.05) as pings:
        MetalGateway(gateway.machine, gateway.directory, {"endpoint": endpoint}).play("gateway")
    assert pings.lost == []
    assert wireguard_processes(gateway).keys().isdisjoint(interfaces), "the old interface is gone"
    assert public_key(gateway) == new_key


def public_key(gateway: MetalGateway) -> str:
    """The machine's present one."""
    lines = gateway.machine.ssh("cat", "/etc/meshgate/gateway.env").splitlines()
    (key,) = [line.partition("=")[2] for line in lines if line.startswith("MESHGATE_PUBLIC_KEY=")]
    return key


def wireguard_processes(gateway: MetalGateway) -> dict[str, str]:
    """The processes that hold WireGuard's interfaces, by their units."""
    units = ["meshgate-wireguard.service", "meshgate-wireguard-1.service"]
    shown = gateway.machine.ssh("systemctl", "show", "--property=MainPID", "--value", *units)
    return {unit: process for unit, process in zip(units, shown.split(), strict=True) if process != "0"}


def test_after_a_reboot_the_same_client_passes_with_the_same_identity(gateway: MetalGateway, client: Client) -> None:
    assert_passes(gateway, client)
    identity = gateway.identity()
    gateway.machine.reboot()
    wait_for(gateway.ready, "a gateway that is ready again", within=60)
    assert_passes(gateway, client)
    assert gateway.identity() == identity
    assert gateway.play("gateway").changed == []


def test_out_of_the_mesh_and_into_it_again_devices_keep_their_configs(gateway: MetalGateway, client: Client) -> None:
    assert_passes(gateway, client)
    plain = MetalGateway(gateway.machine, gateway.directory, {"mesh": False})
    assert "headscale : Remove the node" in plain.play("gateway").changed
    with lab_world.headscale() as headscale:
        mesh_peer = lab_world.node_named(headscale, peer.HOSTNAME)
        assert f"meshgate-{gateway.machine.name}" not in [node.given_name for node in headscale.nodes()]
    assert plain.play("gateway").changed == []
    assert plain.play("verify").output.count(": works") == 10
    assert "meshgate-tailscale" not in gateway.machine.ssh("ls", "/etc/systemd/system")
    for url, address in zip(lab_world.INTERNET, gateway.machine.outside, strict=True):
        assert client.identify(url, 20) == {"host": "internet-host", "caller": address}
    assert not lab_world.passes(client, lab_world.urls(mesh_peer)[0], 2)
    gateway.play("gateway")
    assert_passes(gateway, client)


def test_devices_come_by_every_way_until_it_is_taken_back(gateway: MetalGateway, client: Client) -> None:
    both = MetalGateway(
        gateway.machine,
        gateway.directory,
        {"access": ["wireguard", "openvpn", "ipsec"], "openvpn": {"udp_port": 1194, "tcp_port": 443}},
    )
    assert both.try_to_play("gateway").complaint[0].startswith("meshgate_issuing_certificate, meshgate_issuing_key: ")
    ca = certificate_authority.make("a CA of these tests")
    issuing = certificate_authority.issuing(ca, "edge")
    secrets = {
        "meshgate_issuing_certificate": issuing.certificate + ca.certificate,
        "meshgate_issuing_key": issuing.key,
    }
    played = both.play("gateway", **secrets)
    assert {"wireguard : Run the server", "wireguard : Run the agent"} <= set(played.changed)
    assert issuing.key.splitlines()[1] not in played.output
    assert both.play("gateway", **secrets).changed == []
    assert both.play("verify", **secrets).output.count(": works") == 19
    exposures = metal_world.exposures(both.machine)
    assert len(exposures) == 5
    assert exposures.items() <= metal_world.documented_exposures().items()

    device = both.api("POST", "/v1/peers", {"protocol": "openvpn", "make_key": True}).json()
    for profile in (device["profile"], lab_world.by_tcp(device["profile"])):
        with openvpn_client.connected("laptop", profile) as laptop:
            assert_passes(both, laptop)
    with openvpn_client.connected("laptop", device["profile"]) as laptop:
        gateway.machine.ssh("systemctl", "restart", "meshgate-agent.service")
        assert lab_world.passes(laptop, lab_world.INTERNET[0], 5), "sessions outlive the agent"
        wait_for(both.ready, "the agent", within=30)
        assert both.api("DELETE", device_path(device["id"])).is_success
        assert not lab_world.passes(laptop, lab_world.INTERNET[0], 2)

    device = both.api("POST", "/v1/peers", {"protocol": "ipsec", "make_key": True}).json()
    with ipsec_client.connected("laptop", device["profile"]) as laptop:
        assert_passes(both, laptop)
        assert both.api("DELETE", device_path(device["id"])).is_success
        assert not lab_world.passes(laptop, lab_world.INTERNET[0], 2)

    gateway.play("gateway")
    units = gateway.machine.ssh("ls", "/etc/systemd/system")
    assert "meshgate-openvpn" not in units
    assert "meshgate-ipsec" not in units
    assert "issuing" not in gateway.machine.ssh("ls", "/etc/meshgate")
    assert_passes(gateway, client)


def test_what_is_broken_is_named(gateway: MetalGateway) -> None:
    machine = gateway.machine
    machine.ssh("systemctl", "stop", "meshgate-agent.service")
    machine.ssh("sysctl", "-qw", "net.ipv6.conf.all.forwarding=0")
    machine.ssh(
        "nft", "add table inet host; add chain inet host f { type filter hook forward priority 0; policy drop; }"
    )
    try:
        played = gateway.try_to_play("verify")
    finally:
        machine.ssh("nft", "delete", "table", "inet", "host")
    assert [line.split(":")[0] for line in played.complaint] == [
        "meshgate-agent.service",
        "forwarding",
        "the host's firewall",
        "peer API http",
    ]
    assert sorted(gateway.play("gateway").changed) == [
        "wireguard : Let the kernel forward",
        "wireguard : Run the agent",
    ]


def test_bad_input_gets_a_sentence_each_and_nothing_is_touched(gateway: MetalGateway) -> None:
    machine = gateway.machine
    processes = gateway.processes()
    machine.ssh("sed", "-i", "s/^ID=debian/ID=fedora/", "/usr/lib/os-release")
    machine.ssh("mount", "--bind", "/dev/null", "/dev/net/tun")
    occupied = {"mtu": 1340, "endpoint": f"{machine.ipv4}:5353", "peers_url": f"http://{machine.ipv4}:22"}
    other = MetalGateway(machine, gateway.directory, {**occupied, "client_networks": ["10.213.0.0/16"]})
    machine.ssh("systemd-run", "--quiet", "--unit=stranger", "python3", "-c", STRANGER)
    try:
        played = other.try_to_play("gateway")
    finally:
        machine.ssh("systemctl", "stop", "stranger")
        machine.ssh("umount", "/dev/net/tun")
        machine.ssh("sed", "-i", "s/^ID=fedora/ID=debian/", "/usr/lib/os-release")
    assert played.changed == []
    system, tun, tcp, udp, network_taken = played.complaint
    assert "is not supported: Meshgate needs Debian 12 or Ubuntu 22.04, or a later one." in system
    assert tun.startswith("There is no usable /dev/net/tun: ")
    assert tcp == "TCP port 22, the peer API's, is taken by sshd: end that, or choose another port in `peers_url`."
    assert udp == "UDP port 5353, the endpoint's, is taken by python3: end that, or choose another port in `endpoint`."
    assert network_taken == (
        "The client network 10.213.0.0/16 collides with 10.213.0.0/24, which this host reaches by eth0: "
        "choose another in client_networks."
    )
    assert gateway.processes() == processes


def test_a_node_that_was_removed_in_headscale_joins_again(gateway: MetalGateway, client: Client) -> None:
    assert_passes(gateway, client)
    removed = gateway.node()
    with lab_world.headscale() as headscale:
        headscale.delete_node(removed.id)
    told = gateway.play("gateway", "--check")
    assert {"headscale : Make a pre-auth key unless the given one can still be used", "tailscale : Join the mesh"} <= {
        *told.changed
    }
    gateway.play("gateway")
    assert gateway.node().id != removed.id
    assert_passes(gateway, client)
    assert gateway.play("gateway").changed == []


def test_a_machine_of_another_user_joins_as_that_users(gateway: MetalGateway, client: Client) -> None:
    other = {"meshgate_headscale": gateway.variables["meshgate_headscale"] | {"user": f"{metal_world.USER}-other"}}
    before = gateway.node()
    for moves in (other, {}):  # and back
        assert "tailscale : Join the mesh" in gateway.play("gateway", "--check", **moves).changed
        gateway.play("gateway", **moves)
        assert gateway.node().id != before.id, "the former one is gone, and its name is free"
        assert_passes(gateway, client)
        assert gateway.play("gateway", **moves).changed == []
        before = gateway.node()
    with lab_world.headscale() as headscale:
        headscale.delete_user(headscale.user(f"{metal_world.USER}-other"))


def test_a_lost_identity_in_the_mesh_is_made_anew_and_clients_keep_their_configs(
    gateway: MetalGateway, client: Client
) -> None:
    assert_passes(gateway, client)
    machine = gateway.machine
    machine.ssh("systemctl", "stop", "meshgate-tailscale.service")
    machine.ssh("sh", "-c", "rm -rf /var/lib/private/meshgate-tailscale/*")
    with lab_world.headscale() as headscale:
        headscale.delete_node(gateway.node().id)
    gateway.play("gateway")
    assert_passes(gateway, client)
    assert gateway.play("gateway").changed == []


SHUT = """
add table inet host
add chain inet host in { type filter hook input priority 0; policy drop; }
add rule inet host in ct state established,related accept
add rule inet host in iifname lo accept
add rule inet host in meta l4proto 58 accept
add rule inet host in tcp dport { 22, 8080, 8081 } accept
"""
LXC = "/run/systemd/system/service.d/zzz-lxc-service.conf"
CIS = "/etc/sysctl.d/99-cis.conf"


def test_what_would_shut_clients_out_is_named_before_anything_is_touched(gateway: MetalGateway) -> None:
    machine, processes = gateway.machine, gateway.processes()
    machine.ssh("nft", "-f", "-", stdin=SHUT)
    machine.ssh("mkdir", "-p", str(Path(LXC).parent))
    machine.ssh("tee", LXC, stdin="[Service]\nLoadCredential=\n")
    machine.ssh("tee", CIS, stdin="net.ipv4.ip_forward = 0\n")
    try:
        played = MetalGateway(machine, gateway.directory, {"mtu": 1340}).try_to_play("gateway")
        verified = gateway.try_to_play("verify")
    finally:
        machine.ssh("rm", LXC, CIS)
    try:
        assert played.changed == []
        drop_in, sysctl, firewall = played.complaint
        units = "meshgate-agent.service, meshgate-tailscale.service"
        assert drop_in.startswith(f"{LXC} takes LoadCredential= from {units}, which cannot do without")
        assert sysctl.startswith(f"{CIS} sets net.ipv4.ip_forward to 0 at each boot")
        begin = "nft (table inet host, chain in) drops what comes for UDP port 51820: open it by `"
        assert firewall.startswith(begin)
        assert [line.split(":")[0] for line in verified.complaint] == ["forwarding", "the host's firewall"]
        assert gateway.processes() == processes
        machine.ssh(*firewall.removeprefix(begin).partition("`")[0].split())
        assert gateway.play("gateway").changed == []
        with gateway.client("let-in") as client:
            assert client.identify(lab_world.INTERNET[0], 20)["host"] == "internet-host"
    finally:
        machine.ssh("nft", "delete", "table", "inet", "host")


STRANGER = "import socket, time; s = socket.socket(type=socket.SOCK_DGRAM); s.bind(('', 5353)); time.sleep(60)"


def test_remove_leaves_the_machine_as_it_was(gateway: MetalGateway, before: dict[str, list[str]]) -> None:
    """Also where a key is just rotated."""
    name = f"meshgate-{gateway.machine.name}"
    rotated = {"endpoint": f"{gateway.machine.ipv4}:51821", "previous_key": {"port": 51820}}
    MetalGateway(gateway.machine, gateway.directory, rotated).play("gateway")
    wait_for(lambda: "5182" in gateway.machine.ssh("ip", "rule"), "the way back to devices of the old key")
    gateway.play("remove")
    assert metal_world.differences(before, metal_world.snapshot(gateway.machine)) == {}
    with lab_world.headscale() as headscale:
        assert [node.given_name for node in headscale.nodes() if node.given_name.startswith(name)] == []
    assert gateway.play("remove").changed == []


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"meshgate_artifact": "/nowhere.tar.gz"}, "There is no artifact /nowhere.tar.gz on the controller: run `make"),
        ({"meshgate_headscale_api_key": "wrong"}, "does not accept the API key"),
        ({"meshgate_headscale": {"url": f"https://{topology.NODE_IPV4}:1"}}, "cannot be reached"),
    ],
)
def test_bad_variables_get_a_sentence_before_anything_is_touched(
    nothing: MetalGateway, variables: dict[str, object], sentence: str
) -> None:
    played = nothing.try_to_play("gateway", **variables)
    assert played.status != 0
    assert played.changed == []
    (line,) = played.complaint
    assert sentence in line
    assert not nothing.there


def test_a_host_in_a_tailnet_is_refused_and_not_touched(nothing: MetalGateway) -> None:
    metal_world.log_in(nothing.machine)
    before = metal_world.snapshot(nothing.machine)
    try:
        played = nothing.try_to_play("gateway")
        assert metal_world.differences(before, metal_world.snapshot(nothing.machine)) == {}
    finally:
        nothing.machine.ssh("tailscale", "logout")
    assert played.complaint == [
        f"This host's own tailscaled is in the tailnet of {peer.URL} already: a gateway needs a host of its own, or "
        "`tailscale logout` here first."
    ]
    assert played.changed == []


def test_killed_at_any_moment_it_converges_when_run_again(nothing: MetalGateway) -> None:
    gateway, before = nothing, metal_world.snapshot(nothing.machine)
    tailscaled = str(go_builds.resolve(pinned_tools.TAILSCALED))
    for task in MOMENTS:
        gateway.kill_at(task, meshgate_tailscaled=tailscaled)
    gateway.play("gateway", meshgate_tailscaled=tailscaled)
    assert gateway.play("gateway", meshgate_tailscaled=tailscaled).changed == []
    with gateway.client("native") as client:
        assert_passes(gateway, client)
    gateway.kill_at("wireguard : Remove the gateway's files", "remove")
    gateway.play("remove")
    assert metal_world.differences(before, metal_world.snapshot(gateway.machine)) == {}
