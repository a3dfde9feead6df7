"""A WireGuard key that was there before, on the real engine: it comes in as a secret and stays when its setting goes.

The stack is of one machine, which needs neither a cluster nor Headscale.
"""

import pytest

from infra import curve25519
from lab.pulumi import pulumi_host
from tests.contract.pulumi_engine import STACK, Engine
from tests.unit.docs.commands import bash, console

pytestmark = pytest.mark.timeout(900)  # the first run on a machine builds Pulumi

EDGE: dict[str, object] = {
    "name": "edge",
    "endpoint": "vpn.example.com:51820",
    "target": "metal",
    "client_networks": ["10.78.0.0/16"],
}


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    directory = tmp_path_factory.mktemp("engine")
    return Engine(directory, pulumi_host.find(), directory / "no-kubeconfig")


def configure(engine: Engine, **gateway: object) -> None:
    engine.configure({"gateways": [EDGE | gateway], "protect": True})


def give(engine: Engine, key: str) -> None:
    """As docs/operations.md does it."""
    command, _ = console("docs/operations.md", "Keep a key")
    (engine.directory / "private-key").write_text(f"{key}\n")
    bash(command.replace("--stack prod", f"--stack {STACK}"), engine.directory, engine.environment)
    assert key not in (engine.directory / f"Pulumi.{STACK}.yaml").read_text()


def test_the_key_of_a_gateway_that_was_there_before(engine: Engine) -> None:
    key = curve25519.generate_private_key()
    configure(engine)
    give(engine, key)
    up = engine.run("up", "--yes")
    assert up.code == 0, up.text
    outputs = engine.outputs()
    assert outputs["server_public_key"] == curve25519.public_key(key)
    edge = outputs["metal"]["edge"]
    assert edge["private_key"] == key
    assert edge["gateway"] == EDGE
    assert key not in up.text + engine.export()

    configure(engine)
    assert engine.run("preview", "--expect-no-changes").code == 0, "taken out again"
    give(engine, key)
    assert engine.run("preview", "--expect-no-changes").code == 0, "the one that is there"


def test_what_would_take_the_key_away_is_refused(engine: Engine) -> None:
    key = curve25519.public_key(engine.outputs()["metal"]["edge"]["private_key"])
    configure(engine, key_rotation="spring")
    give(engine, engine.outputs()["metal"]["edge"]["private_key"])
    rotated = engine.run("preview")
    assert rotated.code != 0
    assert "`key_rotation` would make a new WireGuard key, and `private_key` is the one that there is" in rotated.said
    assert "Traceback" not in rotated.text

    configure(engine)
    give(engine, curve25519.generate_private_key())
    another = engine.run("preview")
    assert another.code != 0
    assert "unable to replace resource" in another.said
    assert engine.outputs()["server_public_key"] == key


def test_a_key_in_clear_text_is_refused(engine: Engine) -> None:
    key = curve25519.generate_private_key()
    configure(engine, private_key=key)
    refused = engine.run("preview")
    assert refused.code != 0
    assert "meshgate:gateways[0].private_key: it is set in clear text; use `pulumi config set --secret " in refused.said
    assert key not in refused.text


def test_what_makes_configs_useless_is_refused_under_protect_and_told_without(engine: Engine) -> None:
    configure(engine, endpoint="vpn.example.com:51821")
    refused = engine.run("preview")
    assert refused.code != 0
    sentence = (
        "gateway edge: `endpoint` changes, and clients dial vpn.example.com:51820, so its devices by WireGuard would "
        "need new configs."
    )
    allowance = "`protect: false` in the stack's settings allows that (docs/policies.md)."
    assert f"resource 'client-configs' has a problem: {sentence} {allowance}" in refused.said
    engine.configure({"gateways": [EDGE | {"endpoint": "vpn.example.com:51821"}], "protect": False})
    up = engine.run("up", "--yes")
    assert up.code == 0, up.text
    assert sentence in up.said
    assert engine.run("preview", "--expect-no-changes").code == 0
    assert engine.run("destroy", "--yes").code == 0
