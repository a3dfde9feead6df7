"""Pulumi.yaml says of the settings what `make reference` writes now."""

import yaml

from environments import project_file
from environments.descriptions import descriptions
from infra.settings.stack import StackSettings
from tests.unit.docs.commands import ROOT

PROJECT = ROOT / "Pulumi.yaml"


def test_the_project_file_is_up_to_date() -> None:
    assert PROJECT.read_text() == project_file.written(PROJECT.read_text()), "run `make reference`"


def test_it_declares_every_setting_but_the_optional_ones() -> None:
    config = yaml.safe_load(PROJECT.read_text())["config"]
    assert set(config) | set(project_file.UNDECLARED) == set(StackSettings.model_fields)
    assert not [name for name, one in config.items() if one["default"] is None], "the engine would ask for it"
    assert config["namespace"] == {
        "type": "string",
        "description": descriptions(StackSettings)["namespace"],
        "default": "headscale",
    }
    assert (config["create_namespace"]["type"], config["create_namespace"]["default"]) == ("boolean", True)
    assert (config["gateways"]["items"], config["gateways"]["default"]) == ({"type": "object"}, [])
    assert (config["access"]["items"], config["access"]["default"]) == ({"type": "string"}, [])
    assert "ingress {class_name, tls_secret, certificate, annotations}" in config["headscale"]["description"]


def test_what_stands_before_the_settings_is_kept() -> None:
    text = project_file.written("name: other\nconfig:\n  old: {}\n")
    assert text.startswith("name: other\nconfig:\n")
    assert "old" not in text
