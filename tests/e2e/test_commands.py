"""The commands of the README, run as a reader runs them."""

import os
import re
import subprocess
from pathlib import Path

import yaml

from infra.curve25519 import public_key
from infra.settings.loading import load
from lab import paths
from lab.pulumi.stack import Stack
from tests.e2e import lab_world

README = (paths.REPOSITORY / "README.md").read_text()


def make(*arguments: str) -> str:
    done = subprocess.run(
        ["make", *arguments], cwd=paths.REPOSITORY, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_status_shows_what_users_need(stack: Stack) -> None:
    said = make("status")
    outputs = stack.outputs()
    for part in ("kubelet", outputs["server_public_key"], outputs["server_endpoint"], "make client NAME=my-phone"):
        assert part in said


def test_client_prints_a_config_and_its_qr_code(stack: Stack) -> None:
    said = make("client", "NAME=from-the-readme")
    (private_key,) = re.findall(r"^PrivateKey = (\S{44})$", said, re.MULTILINE)
    assert f"PublicKey = {stack.outputs()['server_public_key']}" in said
    assert "█" in said or "▄" in said
    lab_world.unregister(public_key(private_key))


def test_preview_says_that_nothing_would_change(stack: Stack) -> None:
    assert re.search(r"Resources:\n +\d+ unchanged\n", make("preview"))


def test_the_readmes_settings_make_a_stack(stack: Stack, tmp_path: Path) -> None:
    """Its block of `pulumi config set`, run by the real CLI; what it writes is a stack that can work."""
    (tmp_path / "Pulumi.yaml").write_text((paths.REPOSITORY / "Pulumi.yaml").read_text())
    environment = {**os.environ, **stack.environment(), "PULUMI_BACKEND_URL": f"file://{tmp_path}"}
    block = re.search(r"^    pulumi stack init prod\n(?:^    .*\n)+", README, re.MULTILINE)
    assert block
    commands = [line.split("#")[0].strip() for line in block[0].splitlines()]
    for command in commands:
        if command in ("pulumi preview", "pulumi up"):
            continue
        words = [word.strip("'") for word in command.split()]
        subprocess.run(
            words, cwd=tmp_path, env=environment, input="an-api-key", text=True, check=True, capture_output=True
        )
    written = yaml.safe_load((tmp_path / "Pulumi.prod.yaml").read_text())["config"]
    values = {key.removeprefix("meshgate:"): value for key, value in written.items()}
    assert "secure" in values["headscale_api_key"]
    values["headscale_api_key"] = "an-api-key"
    settings = load(values.get, values)
    assert settings.gateways[0].endpoint == "vpn.example.com:31820"
    assert settings.orchestrator is not None
