"""What docs/operations.md names as a remedy, each after its illness: connected again, and nobody else notices.

One stack goes through all of them, in this order. The lab's own gateway and its client are the bystanders.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from console.errors import StepError
from gateway.headscale.client import Headscale
from lab.cluster import kube, surroundings
from lab.cluster.startup import PKI
from lab.network import topology
from lab.network import wireguard_client as clients
from lab.network.sandbox import Sandbox
from lab.network.wireguard_client import Client, Config
from lab.processes.daemon import Daemon
from lab.pulumi.stack import Stack
from tests.e2e import lab_world, life
from tests.e2e.second_stack import beside
from tests.pings import pinging

pytestmark = pytest.mark.timeout(300)

NAME = "remedy"
NAMESPACE, GATEWAY = f"meshgate-{NAME}", f"meshgate-{NAME}"
FRONT = Daemon("moved-front")
MOVED_PORT = 8444


@pytest.fixture(scope="module")
def ill(stack: Stack) -> Iterator[Stack]:
    with beside(stack, NAME, 31824, "10.83.0.0/16", tailscale_port=41644) as ill:
        life.up(ill)
        yield ill


@pytest.fixture(autouse=True)
def bystander(connect: Callable[[str], Client]) -> Iterator[None]:
    """A client of the lab's own gateway."""
    client = connect("bystander")
    assert lab_world.passes(client, lab_world.INTERNET[0], 10)
    with pinging(client.inside, topology.INTERNET_IPV4) as pings:
        yield
    assert pings.longest_gap_s < 1


def remedy(ill: Stack) -> None:
    """The one that the page has for nearly all."""
    ill.run("up", "--yes", "--skip-preview", "--refresh")


def assert_well(ill: Stack, headscale: Headscale) -> None:
    """Its node is there once, connected and approved, a client passes, and nothing is left to do."""
    node = lab_world.node_named(headscale, GATEWAY)
    assert node.connected
    assert node.is_exit
    with clients.connected("again", lab_world.let_in_by_hand(NAMESPACE, GATEWAY)) as client:
        assert lab_world.passes(client, lab_world.INTERNET[0], 10)
    life.assert_settled(ill)


@contextmanager
def unnoticed(config: Config) -> Iterator[None]:
    """A client of the ill gateway passes before and after, with the config that it has."""
    with clients.connected("constant", config) as client:
        assert lab_world.passes(client, lab_world.INTERNET[0], 10)
        yield
        assert lab_world.passes(client, lab_world.INTERNET[0], 10)


def on_headscale(*command: str) -> str:
    """What its administrator does on the server."""
    return kube.kubectl("exec", "-n", lab_world.NAMESPACE, "deploy/headscale", "--", "headscale", *command)


def test_a_used_key_that_an_admin_removed_is_no_illness(ill: Stack, headscale: Headscale) -> None:
    node = lab_world.node_named(headscale, GATEWAY)
    assert node.pre_auth_key
    headscale.delete_pre_auth_key(headscale.user(f"meshgate-{NAME}"), node.pre_auth_key)
    life.assert_settled(ill)


def test_a_lost_node(ill: Stack, headscale: Headscale) -> None:
    lost = lab_world.node_named(headscale, GATEWAY)
    headscale.delete_node(lost.id)
    with unnoticed(lab_world.let_in_by_hand(NAMESPACE, GATEWAY)):
        remedy(ill)
    assert_well(ill, headscale)


def test_an_expired_node(ill: Stack, headscale: Headscale) -> None:
    expired = lab_world.node_named(headscale, GATEWAY)
    on_headscale("nodes", "expire", "--identifier", expired.id)
    with unnoticed(lab_world.let_in_by_hand(NAMESPACE, GATEWAY)):
        remedy(ill)
    assert_well(ill, headscale)
    assert lab_world.node_named(headscale, GATEWAY).id == expired.id


def test_a_lost_volume(ill: Stack, headscale: Headscale) -> None:
    """Devices and the identity in the mesh are gone; the WireGuard key is not."""
    known, key = lab_world.node_named(headscale, GATEWAY), ill.outputs()["server_public_key"]
    kube.kubectl("delete", "pvc", "-n", NAMESPACE, GATEWAY, "--wait=false")
    kube.kubectl("delete", "pod", "-n", NAMESPACE, "--all", "--wait=true")
    remedy(ill)
    assert_well(ill, headscale)
    assert lab_world.node_named(headscale, GATEWAY).id != known.id, "its old node has gone"
    assert ill.outputs()["server_public_key"] == key


def test_a_volume_that_lost_what_was_on_it(ill: Stack, headscale: Headscale) -> None:
    """A change of the gateway then fails, and says why in tailscaled's own words."""
    lost = ("exec", "-n", NAMESPACE, f"deploy/{GATEWAY}", "-c", "tailscale", "--", "sh", "-c")
    kube.kubectl(*lost, "rm -rf /var/lib/tailscale/*")
    settings = ill.settings()
    changed = settings["gateways"][0] | {"wireguard": "userspace", "registration_deadline": 20}
    ill.write(settings | {"gateways": [changed]})
    with pytest.raises(StepError, match=r"is not ready 20 s after its start(?s:.*)authkey already used"):
        ill.run("up", "--yes", "--skip-preview")
    remedy(ill)
    assert_well(ill, headscale)
    ill.write(settings)
    ill.run("up", "--yes", "--skip-preview")


def test_a_lost_secret(ill: Stack, headscale: Headscale) -> None:
    with unnoticed(lab_world.let_in_by_hand(NAMESPACE, GATEWAY)):
        kube.kubectl("delete", "secret", "-n", NAMESPACE, GATEWAY)
        remedy(ill)
    assert_well(ill, headscale)


def test_a_lost_namespace(ill: Stack, headscale: Headscale) -> None:
    key = ill.outputs()["server_public_key"]
    kube.kubectl("delete", "namespace", NAMESPACE, "--wait=true")
    remedy(ill)
    assert_well(ill, headscale)
    assert ill.outputs()["server_public_key"] == key


def test_an_api_key_that_was_revoked(ill: Stack, headscale: Headscale) -> None:
    before = headscale.api_keys()
    made = json.loads(on_headscale("apikeys", "create", "--expiration", "1h", "--output", "json"))
    (revoked,) = {key.prefix for key in headscale.api_keys()} - {key.prefix for key in before}
    ill.set_secret("headscale_api_key", made)
    headscale.expire_api_key(revoked)
    with pytest.raises(StepError, match=r"does not accept the API key \(401\)"):
        ill.run("refresh", "--yes", "--run-program")
    ill.set_secret("headscale_api_key", lab_world.api_key())
    ill.run("refresh", "--yes", "--run-program")
    assert_well(ill, headscale)
    headscale.delete_api_key(revoked)


@pytest.fixture
def moved_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The lab's Headscale under another URL."""
    (text,) = surroundings.tls_front(PKI).files.values()
    config = tmp_path_factory.mktemp("front") / "nginx.conf"
    config.write_text(text.replace(":443 ssl", f":{MOVED_PORT} ssl"))
    sandbox = Sandbox(network=topology.NODE, hostname="moved-front", empty=("/run",))
    FRONT.start(sandbox.command(["nginx", "-e", "/dev/stderr", "-c", str(config)]))
    yield f"https://{topology.NODE_IPV4}:{MOVED_PORT}"
    FRONT.stop()


def test_a_headscale_whose_url_moves(ill: Stack, headscale: Headscale, moved_url: str) -> None:
    settings = ill.settings()
    before = lab_world.node_named(headscale, GATEWAY)
    for url in (moved_url, settings["headscale"]["url"]):
        ill.write(settings | {"headscale": settings["headscale"] | {"url": url}})
        with unnoticed(lab_world.let_in_by_hand(NAMESPACE, GATEWAY)):
            ill.run("up", "--yes", "--skip-preview")
        assert_well(ill, headscale)
        assert control_url() == url
    assert lab_world.node_named(headscale, GATEWAY).id != before.id


def control_url() -> str:
    """Whom the gateway's tailscaled listens to."""
    tailscale = ("exec", "-n", NAMESPACE, f"deploy/{GATEWAY}", "-c", "tailscale", "--", "tailscale")
    return str(json.loads(kube.kubectl(*tailscale, "debug", "prefs"))["ControlURL"])
