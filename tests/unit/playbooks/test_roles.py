"""The roles as files: what ansible-lint does not look at."""

from pathlib import Path

import pytest
import yaml

PLAYBOOKS = Path(__file__).parents[3] / "playbooks"
ROLES = sorted(path for path in (PLAYBOOKS / "roles").iterdir() if path.is_dir())
UNITS = sorted(PLAYBOOKS.glob("roles/*/templates/*.service"))


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_every_entry_point_has_an_argument_spec(role: Path) -> None:
    specs = yaml.safe_load((role / "meta/argument_specs.yml").read_text())["argument_specs"]
    assert set(specs) == {path.stem for path in (role / "tasks").glob("*.yml")}


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_units_are_hardened_and_survive_a_reboot(unit: Path) -> None:
    lines = unit.read_text().splitlines()
    assert "{% include 'hardening.conf' %}" in lines
    assert "WantedBy=multi-user.target" in lines
    assert "Restart=always" in lines
    capabilities = [line.partition("=")[2] for line in lines if line.startswith(("Ambient", "CapabilityBounding"))]
    assert len(capabilities) == 2
    assert len(set(capabilities)) == 1
    assert len([line for line in lines if line.startswith("User=meshgate")]) == 1


def test_the_artifact_and_the_image_are_told_the_same_environment() -> None:
    dockerfile = (PLAYBOOKS.parent / "gateway/Dockerfile").read_text()
    environment = yaml.safe_load((PLAYBOOKS / "roles/wireguard/vars/main.yml").read_text())[
        "wireguard_image_environment"
    ]
    for name, value in environment.items():
        assert f"{name}={value}" in dockerfile
