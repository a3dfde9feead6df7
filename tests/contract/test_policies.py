"""The policy pack under the real CLI and engine, and a protected stack that refuses to be taken apart.

The language host that the lab can build starts no policy packs. Pulumi's older way does: a plugin named after the
pack's runtime. So a stand-in for the host, a script of two lines, starts the pack as a current host would.
"""

import os
import shlex
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from infra.protection import KEPT
from lab import paths
from lab.pulumi import pulumi_host
from review import events, own_rules
from tests.contract.apiserver import ApiServer
from tests.contract.pulumi_engine import STACK, Engine
from tests.contract.real_headscale import RealHeadscale

pytestmark = pytest.mark.timeout(900)  # the first run on a machine builds Pulumi and Headscale

PACK = paths.REPOSITORY / "policy"
EDGE = {"name": "edge", "endpoint": "edge.example.com:51820", "target": "metal"}


@pytest.fixture
def pack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The policy pack, started by the stand-in: unbuffered, as a host does, which reads the port from its output."""
    project = yaml.safe_load((PACK / "PulumiPolicy.yaml").read_text())
    directory, programs = tmp_path / "pack", tmp_path / "programs"
    directory.mkdir()
    programs.mkdir()
    (directory / "PulumiPolicy.yaml").write_text(yaml.safe_dump(project | {"runtime": "meshgate-stand-in"}))
    plugin = programs / "pulumi-analyzer-policy-meshgate-stand-in"
    plugin.write_text(f"#!/bin/sh\nexec {shlex.quote(sys.executable)} -u {shlex.quote(str(PACK))}\n")
    plugin.chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=os.pathsep)
    return directory


class World:
    """A stack and its Headscale."""

    def __init__(self, engine: Engine, headscale: RealHeadscale) -> None:
        self.engine = engine
        self.url = headscale.url
        self.api_key = headscale.new_api_key(datetime.now(UTC) + timedelta(days=60))

    def configure(self, **settings: object) -> None:
        good: dict[str, object] = {"headscale": {"managed": False, "url": self.url}, "gateways": [EDGE]}
        self.engine.configure(good | settings, api_key=self.api_key)

    def run(self, operation: str, *options: str, code: int = 0) -> str:
        done = self.engine.run(operation, *options)
        assert done.code == code, done.text
        return done.text


@pytest.fixture
def world(tmp_path: Path, headscale: RealHeadscale, pack: Path) -> World:
    """A stack of one machine, which needs no cluster; `pack` comes first, as the engine's PATH is the test's."""
    return World(Engine(tmp_path, pulumi_host.find(), tmp_path / "no-kubeconfig"), headscale)


def told(engine: Engine) -> list[str]:
    """What the rules say of a preview that no pack is started for."""
    run = engine.run("preview", "--json", PULUMI_ENABLE_STREAMING_JSON_PREVIEW="true")
    assert run.code == 0, run.text
    return list(own_rules.broken(STACK, events.read(run.text)))


def test_the_cli_runs_the_pack(world: World, pack: Path) -> None:
    world.configure(protect=True)
    said = world.run("preview", f"--policy-pack={pack}")
    assert "✅ meshgate@v1.0.0" in said
    world.configure()
    said = " ".join(world.run("preview", f"--policy-pack={pack}", code=1).split())
    assert "❌ meshgate@v1.0.0" in said
    assert (
        "[mandatory] nothing-lost (pulumi-python:dynamic/meshgate:WireGuardKey: edge-key) What cannot be had again is "
        "protected, or the stack says otherwise. it is the gateway's private key" in said
    )
    assert told(world.engine) != []
    world.configure(protect=False)
    world.run("preview", f"--policy-pack={pack}")
    assert told(world.engine) == []


def test_a_gateway_in_a_cluster_and_its_headscale(tmp_path: Path, pack: Path, api: ApiServer) -> None:
    engine = Engine(tmp_path, pulumi_host.find(), api.kubeconfig)
    settings: dict[str, object] = {
        "headscale": {"managed": True, "url": "https://headscale.example.com"},
        "gateways": [{"name": "one", "endpoint": "vpn.example.com:31820"}],
        "protect": True,
    }
    engine.configure(settings)
    assert {one.split(" has no digest")[0] for one in told(engine)} == {
        "image-by-digest: Deployment one-gateway: image meshgate/gateway:0.1.0 of container agent",
        "image-by-digest: Deployment one-gateway: image meshgate/gateway:0.1.0 of container wireguard",
        "image-by-digest: Deployment one-gateway: image tailscale/tailscale:v1.102.3 of container tailscale",
        "image-by-digest: Deployment server: image headscale/headscale:0.29.3 of container headscale",
    }
    refused = engine.run("preview", f"--policy-pack={pack}")
    assert refused.code != 0
    assert refused.text.count("[mandatory]") == refused.text.count("[mandatory]  image-by-digest") == 4
    assert "can't run policy" not in refused.text
    config = tmp_path / "policy-config.json"
    config.write_text('{"image-by-digest": "advisory"}')
    advised = engine.run("preview", f"--policy-pack={pack}", f"--policy-pack-config={config}")
    assert advised.code == 0, advised.text
    assert advised.text.count("[advisory]  image-by-digest") == 4


def test_a_protected_stack_is_destroyed_only_by_one_who_means_it(world: World) -> None:
    world.configure(protect=True)
    world.run("up", "--yes")
    before = world.engine.resources()
    kept = {urn for urn in before if urn.split("::")[2].split("$")[-1] in KEPT}
    assert len(kept) == 4  # user, key, node, clients' configs: there is neither a cluster nor an app

    refused = world.run("destroy", "--yes", code=1)
    assert "cannot be deleted\n    because it is protected" in refused
    assert world.engine.resources() == before
    # The engine ends at the first ones; what all would be lost, the state says.
    said = subprocess.run(
        [sys.executable, "-m", "policy.kept"],
        input=world.engine.export(),
        capture_output=True,
        text=True,
        cwd=paths.REPOSITORY,
        check=False,
    )
    assert said.returncode == 1
    for urn in kept:
        assert urn.rpartition(":")[2] in said.stderr
    assert "To mean it: `pulumi config set protect false`, `pulumi up`, then `pulumi destroy`." in said.stderr

    world.configure(protect=False)
    world.run("up", "--yes")
    world.run("destroy", "--yes")
    assert world.engine.resources() == []


def test_a_protected_key_is_replaced_only_by_one_who_means_it(world: World) -> None:
    world.configure(protect=True)
    world.run("up", "--yes")
    before = set(world.engine.resources())
    (key,) = (urn for urn in before if "WireGuardKey" in urn)
    refused = world.run("up", "--yes", f"--replace={key}", code=1)
    assert f'unable to replace resource "{key}"' in refused
    assert set(world.engine.resources()) == before
    world.configure(protect=False)
    world.run("up", "--yes", f"--replace={key}")
    world.run("destroy", "--yes")


def test_a_gateway_that_is_taken_out_of_the_settings_is_not_let_go(world: World) -> None:
    other = EDGE | {"name": "other", "endpoint": "other.example.com:51820", "client_networks": ["10.78.0.0/16"]}
    world.configure(protect=True, gateways=[EDGE, other])
    world.run("up", "--yes")
    world.configure(protect=True)
    refused = world.run("preview", code=1)
    assert "WireGuardKey::other-key" in refused
    assert "cannot be deleted" in refused
    world.configure(protect=False, gateways=[EDGE, other])
    world.run("up", "--yes")
    world.configure(protect=True)
    world.run("up", "--yes")
    assert not any("other-key" in urn for urn in world.engine.resources())
    world.configure(protect=False)
    world.run("up", "--yes")
    world.run("destroy", "--yes")
