"""The agent's and the interface's lives: killed, restarted, changed behind the agent's back."""

import http.server
import json
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx

from tests.contract.agent.world import FAR_4, Client, World, in_namespace
from tests.deadlines import wait_for
from tests.unit.agent.fakes import key_pair


def wait_until_remembered(world: World, client: Client) -> None:
    assert client.reaches(FAR_4)
    path = f"/v1/peers/{client.keys.public}"
    wait_for(lambda: world.call("GET", path).json()["last_endpoint"] is not None, "the endpoint in the store")


def test_a_restart_of_the_agent_loses_no_packet_and_no_session(world: World, client: Client) -> None:
    assert client.reaches(FAR_4)
    handshake = world.gateway.run("wg", "show", world.interface, "latest-handshakes")
    with client.pinging(FAR_4, 0.01) as pings:
        for how in (signal.SIGTERM, signal.SIGKILL):
            world.stop_agent(how)
            world.start_agent()
            world.wait_until_ready()
    assert pings.lost == []
    assert pings.received > 20, "the restarts were over before the pings began"
    assert world.gateway.run("wg", "show", world.interface, "latest-handshakes") == handshake


def test_the_agent_ends_within_a_second_of_sigterm(world: World, client: Client) -> None:
    assert client.reaches(FAR_4)
    with world.http():  # an idle connection holds nothing up
        assert world.stop_agent() < 1
    assert world.agent is not None
    assert world.agent.returncode == 0
    assert client.reaches(FAR_4), "tunnels, peers and firewall stay"
    world.start_agent()
    world.wait_until_ready()


def test_a_killed_wireguard_process_is_back_within_a_second(world: World, client: Client) -> None:
    wait_until_remembered(world, client)
    with client.pinging(FAR_4, 0.05) as pings:
        for _ in range(3):
            time.sleep(1.5)
            world.kill_wireguard()
        time.sleep(1.5)
    assert pings.longest_gap_s <= 1, pings


def test_an_idle_client_is_called_when_the_interface_is_new_and_left_alone_afterwards(
    world: World, client: Client
) -> None:
    wait_until_remembered(world, client)

    def shown(what: str) -> str:
        lines = world.gateway.tried("wg", "show", world.interface, what).stdout.splitlines()
        return dict(line.split("\t") for line in lines).get(client.keys.public, "")

    world.kill_wireguard()
    assert wait_for(lambda: shown("latest-handshakes") not in {"", "0"}, "a new handshake") < 2
    assert shown("persistent-keepalive") == "25"
    wait_for(lambda: shown("persistent-keepalive") == "off", "the end of the keepalive")


def test_acknowledged_peers_survive_kills_at_any_moment(fresh_world: World) -> None:
    world = fresh_world
    world.environment["MESHGATE_CLIENT_NETWORKS"] = "10.77.0.0/22,fd77::/64"
    world.start()
    dice = random.Random(1)  # noqa: S311 - when to kill, not a secret
    acknowledged: dict[str, list[str]] = {}
    enough = threading.Event()

    def register_until_enough() -> None:
        while not enough.is_set():
            key = key_pair().public
            try:
                answer = world.call("POST", "/v1/peers", json={"public_key": key})
            except httpx.TransportError:
                continue
            if answer.status_code == 201:
                acknowledged[key] = answer.json()["addresses"]

    callers = [threading.Thread(target=register_until_enough, daemon=True) for _ in range(3)]
    for caller in callers:
        caller.start()
    for kill in range(6):
        time.sleep(dice.uniform(0.1, 0.5))
        world.stop_agent(signal.SIGKILL)
        if kill % 2:
            world.kill_wireguard()
        world.start_agent()
        world.wait_until_ready()
    wait_for(lambda: len(acknowledged) >= 200, "200 registrations")
    enough.set()
    for caller in callers:
        caller.join()
    shown = {
        key: sorted(addresses)
        for key, *addresses in map(
            str.split, world.gateway.run("wg", "show", world.interface, "allowed-ips").splitlines()
        )
    }
    assert {key: shown.get(key) for key in acknowledged} == {
        key: sorted(addresses) for key, addresses in acknowledged.items()
    }
    given = [address for addresses in acknowledged.values() for address in addresses]
    assert len(given) == len(set(given)) >= 400


def test_what_is_changed_by_hand_is_put_back(world: World, client: Client) -> None:
    wait_until_remembered(world, client)
    stranger = key_pair().public
    world.gateway.run("wg", "set", world.interface, "peer", stranger, "allowed-ips", "10.77.0.99/32")
    world.gateway.run("wg", "set", world.interface, "peer", client.keys.public, "remove")
    world.gateway.run("wg", "set", world.interface, "listen-port", "50000")
    world.gateway.run("ip", "address", "add", "10.88.0.1/24", "dev", world.interface)
    world.gateway.run("nft", "flush", "ruleset")

    def put_back() -> bool:
        shown = world.gateway.run("wg", "show", world.interface, "dump")
        return bool(
            stranger not in shown
            and client.keys.public in shown
            and "\t51820\t" in shown
            and "10.88.0.1" not in world.gateway.run("ip", "address", "show", "dev", world.interface)
            and world.rules("postrouting")
        )

    wait_for(put_back, "everything as it was")
    assert client.reaches(FAR_4)


def test_an_expired_peer_is_shut_out_within_five_seconds(world: World, client: Client) -> None:
    world.register(client.keys.public, ttl_seconds=1)
    wait_for(lambda: world.call("GET", f"/v1/peers/{client.keys.public}").status_code == 404, "the end", within=6)
    assert client.keys.public not in world.gateway.run("wg", "show", world.interface, "peers")
    assert not client.reaches(FAR_4, within_s=1)


def test_readiness_says_what_is_missing(fresh_world: World) -> None:
    world = fresh_world
    world.environment["MESHGATE_TAILSCALE_HEALTH_URL"] = "http://127.0.0.1:9002/healthz"
    world.gateway.run("sysctl", "-qw", "net.ipv6.conf.all.forwarding=0")
    world.start_agent()
    wait_for(lambda: world.readiness()[0] == 503, "an answer")
    missing = world.readiness()[1]["missing"]
    assert [line.split(":")[0] for line in missing] == [
        f"the interface {world.interface} does not exist",
        "the kernel does not forward IPv6",
        "tailscaled's health endpoint http",
    ]
    refused = world.call("POST", "/v1/peers", json={"public_key": key_pair().public})
    assert refused.status_code == 503
    assert refused.headers["retry-after"] == "1"

    world.start_interface()
    world.gateway.run("sysctl", "-qw", "net.ipv6.conf.all.forwarding=1")
    with in_namespace(world.gateway.name):
        health = http.server.HTTPServer(("127.0.0.1", 9002), Health)
    threading.Thread(target=health.serve_forever, daemon=True).start()
    try:
        wait_for(lambda: len(world.readiness()[1].get("missing", ())) == 1, "one thing missing")
        assert "says 503" in world.readiness()[1]["detail"]
        Health.status = 200
        world.wait_until_ready()
    finally:
        health.shutdown()
        health.server_close()


class Health(http.server.BaseHTTPRequestHandler):
    """tailscaled's health endpoint: not connected at first."""

    status = 503

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        """Nothing."""


def test_a_second_agent_is_refused_the_volume_and_the_port(world: World, tmp_path: Path) -> None:
    """Both end with a sentence, and the first agent goes on."""
    for changes, sentence in (
        ({"MESHGATE_HTTP_PORT": "8081"}, "peers.sqlite: database is locked"),
        ({"MESHGATE_STATE_DIR": str(tmp_path)}, "MESHGATE_HTTP_PORT: cannot listen on 0.0.0.0, port 8080"),
    ):
        ended = world.gateway.tried(sys.executable, "-m", "gateway.agent", env={**world.agent_environment(), **changes})
        assert ended.returncode != 0
        assert sentence in ended.stderr
        assert "Traceback" not in ended.stderr
    world.wait_until_ready()


def test_metrics_tell_of_all_peers_and_of_none(world: World, client: Client) -> None:
    assert client.reaches(FAR_4)
    found = world.call("GET", "/metrics", token=None).text
    numbers = {
        name: float(value)
        for name, value in (line.rsplit(" ", 1) for line in found.splitlines() if not line.startswith("#"))
    }
    assert numbers["meshgate_peers"] >= 1
    assert numbers["meshgate_pool_addresses"] == 253
    assert numbers["meshgate_tunnel_received_bytes_total"] > 0
    assert numbers["meshgate_tunnel_sent_bytes_total"] > 0
    assert 'meshgate_peers_handshake_within{seconds="180"}' in found.replace("'", '"')
    assert client.keys.public not in found


def test_the_interface_goes_with_its_process(fresh_world: World) -> None:
    world = fresh_world
    world.start_interface()
    wait_for(lambda: world.interface in world.gateway.run("ip", "-brief", "link"), "the interface")
    assert world.holder is not None
    world.holder.terminate()
    assert world.holder.wait(5) == 0
    assert world.interface not in world.gateway.run("ip", "-brief", "link")


def test_kernel_wireguard_is_demanded_where_there_is_none(fresh_world: World) -> None:
    world = fresh_world
    if world.gateway.tried("ip", "link", "add", "probe", "type", "wireguard").returncode == 0:
        world.environment["MESHGATE_WIREGUARD"] = "kernel"
        world.start()  # a kernel that has it must be enough
        return
    ended = subprocess.run(
        [sys.executable, "-m", "gateway.agent.protocols.wireguard.interface_process"],
        env={**world.agent_environment(), "MESHGATE_WIREGUARD": "kernel"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert "this kernel has no WireGuard" in ended.stderr


def test_a_whole_life_is_a_quiet_log_of_single_events(fresh_world: World, tmp_path: Path) -> None:
    """JSON in each line, no traceback, nothing twice; the end is no event at all."""
    world = fresh_world
    world.start_interface()
    with (tmp_path / "log").open("wb") as log:
        world.start_agent(log)
        world.wait_until_ready()
        key = key_pair().public
        world.register(key, name='a "phone"')
        world.call("DELETE", f"/v1/peers/{key}")
        world.stop_agent()
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert not [line for line in lines if "exception" in line or line["level"] in {"error", "critical"}]
    events = [line["event"] for line in lines if line["logger"].startswith("gateway")]
    assert len(events) == len(set(events))
    assert events[-2:] == ["registered", "revoked"]
    assert [line["key"] for line in lines if line["event"] in {"registered", "revoked"}] == [key[:8]] * 2
    assert key not in (tmp_path / "log").read_text()
