"""The docs name what is there: files, make targets, settings."""

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from infra import settings

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


@pages
def test_make_targets_exist(page: Path) -> None:
    targets = re.findall(r"^([a-z][a-z -]*):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    known = {target for line in targets for target in line.split()}
    assert set(re.findall(r"(?:`|^    )make ([a-z-]+)", page.read_text(), re.MULTILINE)) <= known


def test_every_setting_of_the_table_exists_and_has_the_default_that_it_names() -> None:
    table = (ROOT / "docs" / "your-own-cluster.md").read_text()
    named = re.findall(r"^\| `([a-z_.\[\]]+)`[^|]*\|", table, re.MULTILINE)
    models: dict[str, type[BaseModel]] = {
        "": settings.Settings,
        "cluster": settings.ClusterSettings,
        "headscale": settings.HeadscaleSettings,
        "gateways[]": settings.GatewaySettings,
        "orchestrator": settings.OrchestratorSettings,
    }
    assert len(named) > 10
    for path in named:
        section, _, name = path.rpartition(".")
        assert name in models[section].model_fields, path


def test_pulumi_yaml_declares_every_setting_but_the_optional_ones() -> None:
    declared = set(re.findall(r"^  ([a-z_]+):$", (ROOT / "Pulumi.yaml").read_text(), re.MULTILINE))
    assert declared - {"name", "options"} == set(settings.Settings.model_fields) - {"headscale_api_key", "protect"}
