import json
from pathlib import Path

import pytest
import yaml

from lab.cluster import parts, roles
from lab.cluster.pki import Pki
from lab.processes.supervision import Part

PROGRAMS = parts.Programs(Path("/x/kube"), Path("/x/coredns"), Path("/x/tailscaled"))


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    pki = Pki(tmp_path_factory.mktemp("pki"))
    pki.ensure(roles.SUBJECTS)
    return pki


@pytest.fixture(scope="module")
def by_name(pki: Pki) -> dict[str, Part]:
    every = parts.all_parts(PROGRAMS, pki, "pause:1", Path("/x/python"))
    return {part.name: part for part in every}


def test_every_file_of_a_command_is_made_by_the_lab(by_name: dict[str, Part], pki: Pki) -> None:
    made = {str(path) for part in by_name.values() for path in part.files}
    made |= {str(path) for path in pki.directory.iterdir()}
    endings = (".crt", ".key", ".pub", ".yaml", ".toml", ".kubeconfig", ".conf", "Corefile")
    named = {
        word.partition("=")[2] or word
        for part in by_name.values()
        for word in map(str, part.command)
        if word.endswith(endings)
    }
    assert named
    assert named <= made


def test_no_secret_is_in_a_command_or_an_environment(by_name: dict[str, Part], pki: Pki) -> None:
    keys = [line for key in pki.directory.glob("*.key") for line in key.read_text().splitlines()[1:-1]]
    visible = " ".join(
        f"{' '.join(map(str, part.command))} {' '.join(part.environment.values())}" for part in by_name.values()
    )
    assert keys
    assert not [key for key in keys if key in visible]


def test_pods_get_an_address_of_each_family(by_name: dict[str, Part]) -> None:
    (conflist,) = (text for path, text in by_name["containerd"].files.items() if path.suffix == ".conflist")
    bridge, _, tuning = json.loads(conflist)["plugins"]
    assert [subnets[0]["subnet"] for subnets in bridge["ipam"]["ranges"]] == ["10.244.0.0/24", "fd44:244::/64"]
    assert bridge["ipMasq"]
    assert tuning["sysctl"] == {"net.ipv4.ip_forward": "1"}


def test_the_kubelet_serves_what_a_gateway_pod_needs(by_name: dict[str, Part]) -> None:
    (text,) = (text for path, text in by_name["kubelet"].files.items() if path.name == "kubelet.yaml")
    config = yaml.safe_load(text)
    assert config["allowedUnsafeSysctls"] == ["net.*"]
    assert config["cgroupRoot"] == "/meshgate-lab"


def test_parts_have_names_of_their_own(by_name: dict[str, Part], pki: Pki) -> None:
    assert len(by_name) == len(parts.all_parts(PROGRAMS, pki, "pause:1", Path("/x/python")))
