"""The example stacks: accepted as they are, short, and without a secret."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.settings.loading import load
from infra.settings.stack import StackSettings

ROOT = Path(__file__).parents[3]
EXAMPLES = sorted((ROOT / "examples" / "stacks").glob("Pulumi.*.yaml"))
examples = pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.name)


def values_of(file: Path) -> dict[str, Any]:
    content = yaml.safe_load(file.read_text())
    assert list(content) == ["config"]
    return {key.removeprefix("meshgate:"): value for key, value in content["config"].items()}


def settings_of(file: Path) -> StackSettings:
    values = values_of(file)
    assert "headscale_api_key" not in values
    secret = {} if values["headscale"]["managed"] else {"headscale_api_key": "set with --secret"}
    return load((values | secret).get, values | secret)


def test_there_is_one_for_each_kind_of_environment() -> None:
    assert [file.name for file in EXAMPLES] == ["Pulumi.dev.yaml", "Pulumi.prod.yaml", "Pulumi.staging.yaml"]
    settings = {file.name.split(".")[1]: settings_of(file) for file in EXAMPLES}
    managed = {name: one.headscale and one.headscale.managed for name, one in settings.items()}
    assert managed == {"dev": True, "staging": False, "prod": False}
    exposure = {name: one.gateways[0].exposure for name, one in settings.items()}
    assert exposure == {"dev": "NodePort", "staging": "LoadBalancer", "prod": "NodePort"}


@examples
def test_only_differences_from_the_defaults_stand_in_it(file: Path) -> None:
    differing = settings_of(file).model_dump(mode="json", exclude_defaults=True, exclude={"headscale_api_key"})
    assert values_of(file) == differing


def test_prod_is_june_as_it_runs() -> None:
    settings = settings_of(ROOT / "examples" / "stacks" / "Pulumi.prod.yaml")
    assert list(map(str, settings.cluster.pod_networks)) == ["10.244.0.0/16"]
    assert list(map(str, settings.cluster.service_networks)) == ["10.96.0.0/12"]
    assert settings.orchestrator is not None
    assert (settings.orchestrator.namespace, settings.orchestrator.container) == ("june-services", "orchestrator")
    (gateway,) = settings.gateways
    assert gateway.mtu <= 1450 - 80, "what Flannel's VXLAN leaves to WireGuard over IPv6"


@examples
def test_the_commands_in_its_head_name_it(file: Path) -> None:
    name = file.name.split(".")[1]
    text = file.read_text()
    assert f"#   cp examples/stacks/{file.name} . && pulumi stack init {name}" in text
    headscale = settings_of(file).headscale
    assert ("config set --secret headscale_api_key" in text) != (headscale and headscale.managed)
