"""A WireGuard key that is rotated and kept, on the real engine: both are handed over, and the old one ends.

The stack is of one machine, which needs neither a cluster nor Headscale. Nobody can count its devices.
"""

import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import pytest

from lab import paths
from lab.pulumi import pulumi_host
from tests.contract.pulumi_engine import STACK, Engine
from tests.unit.docs.commands import bash, console

pytestmark = pytest.mark.timeout(900)  # the first run on a machine builds Pulumi

EDGE: dict[str, object] = {
    "name": "edge",
    "endpoint": "vpn.example.com:31820",
    "target": "metal",
    "client_networks": ["10.78.0.0/16"],
}
ROTATED: dict[str, object] = {
    "endpoint": "vpn.example.com:31821",
    "key_rotation": "2027-spring",
    "previous_key": {"port": 31820, "until": "2100-01-01"},
}


UNROTATED = {name: value for name, value in ROTATED.items() if name != "key_rotation"}


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    directory = tmp_path_factory.mktemp("engine")
    return Engine(directory, pulumi_host.find(), directory / "no-kubeconfig")


def configure(engine: Engine, gateway: Mapping[str, object], *, protect: bool = True) -> None:
    given = {name: value for name, value in {**EDGE, **gateway}.items() if value is not None}
    engine.configure({"gateways": [given], "protect": protect})


def rotate(engine: Engine) -> None:
    """As docs/operations.md does it, with a date that does not come."""
    configure(engine, {})
    *commands, _ = console("docs/operations.md", "A new WireGuard key beside the old one")
    script = "\n".join(commands).replace("--stack prod", f"--stack {STACK}").replace("2027-06-01", "2100-01-01")
    bash(script, engine.directory, engine.environment)


def up(engine: Engine) -> Mapping[str, Any]:
    """What the playbook is handed afterwards; another preview finds nothing to do."""
    done = engine.run("up", "--yes")
    assert done.code == 0, done.text
    assert engine.run("preview", "--expect-no-changes").code == 0
    handed: Mapping[str, Any] = engine.outputs()["metal"]["edge"]
    assert handed["private_key"] not in done.text + engine.export()
    return handed


def review(engine: Engine) -> str:
    """The comment on a pull request."""
    config_file = f"--config-file={engine.directory / f'Pulumi.{STACK}.yaml'}"
    command = [sys.executable, "-m", "review", STACK, config_file, "--format=markdown"]
    return subprocess.run(
        command, cwd=paths.REPOSITORY, env=engine.environment, capture_output=True, text=True, timeout=100, check=True
    ).stdout


def refusal(engine: Engine) -> str:
    refused = engine.run("preview")
    assert refused.code != 0
    return refused.said


def test_a_key_is_rotated_under_protection_and_the_one_before_it_ends(engine: Engine) -> None:
    configure(engine, UNROTATED)
    assert "there is no WireGuard key before the present one" in refusal(engine), "in a new stack"
    configure(engine, {})
    before = up(engine)
    configure(engine, UNROTATED)
    assert "there is no WireGuard key before the present one" in refusal(engine), "without a rotation"

    rotate(engine)
    preview = engine.run("preview")
    assert preview.code == 0, preview.text
    assert (
        "gateway edge: its WireGuard key becomes another one, and its devices go on with the one before it until "
        "2100-01-01T00:00:00+00:00."
    ) in preview.said
    assert "would need new configs" not in preview.text
    comment = review(engine)
    assert f"<!-- verdicts: {STACK}=changes -->" in comment
    assert "its devices go on with the one before it until" in comment
    under_way = up(engine)
    assert under_way["previous_private_key"] == before["private_key"] != under_way["private_key"]
    assert under_way["previous_private_key"] not in engine.export()
    outputs = engine.outputs()
    assert outputs["server_public_key"] == under_way["public_key"]
    assert outputs["previous_key"] == {
        "public_key": before["public_key"],
        "endpoint": "vpn.example.com:31820",
        "until": "2100-01-01T00:00:00+00:00",
    }

    configure(engine, ROTATED)
    assert engine.run("preview", "--expect-no-changes").code == 0, "the documentation does the same"
    configure(engine, ROTATED | {"key_rotation": "2028"})
    assert "the one before the present one is still kept: first take `previous_key` out" in refusal(engine)

    configure(engine, ROTATED | {"previous_key": None})
    assert (
        "gateway edge: the WireGuard key before the present one ends, and devices that still use it would need new "
        "configs. `protect: false` in the stack's settings allows that"
    ) in refusal(engine)
    configure(engine, ROTATED | {"previous_key": None}, protect=False)
    comment = review(engine)
    assert f"<!-- verdicts: {STACK}=danger -->" in comment
    assert "the WireGuard key before the present one ends, and devices that still use it would need" in comment
    after = up(engine)
    assert after["private_key"] == under_way["private_key"]
    assert not [name for name in after if name.startswith("previous_")]


def test_at_its_time_the_previous_key_ends_unasked(engine: Engine) -> None:
    again = {"endpoint": "vpn.example.com:31820", "key_rotation": "2028"}
    configure(engine, again | {"previous_key": {"port": 31821, "until": "2100-01-01"}})
    assert "previous_private_key" in up(engine)
    replaced = engine.run("preview", "--replace", "**::edge-key")
    assert "there is no WireGuard key before the present one" in replaced.said, "a key that is made anew has none"
    # As if the time had come: it was known, and nobody is asked again.
    later = "sed s/2100-01-01T00:00:00/2020-01-01T00:00:00/"
    state = f"pulumi stack export --stack {STACK} | {later} | pulumi stack import --stack {STACK}"
    bash(state, engine.directory, engine.environment)
    configure(engine, again | {"previous_key": {"port": 31821, "until": "2020-01-01"}})
    assert "previous_private_key" not in up(engine)
