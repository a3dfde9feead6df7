"""What the gateway's pod may do, read from the running kernel."""

from math import isnan

import pytest

from lab.cluster import kube
from tests.e2e import lab_world

NET_ADMIN = 1 << 12  # linux/capability.h


@pytest.mark.parametrize("container", ["wireguard", "agent"])
def test_effective_capabilities_are_net_admin_alone(stack: object, container: str) -> None:
    status = lab_world.in_gateway(container, "cat", "/proc/1/status")
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    for kind in ("CapEff", "CapPrm", "CapBnd"):
        assert int(fields[kind], 16) == NET_ADMIN
    assert fields["NoNewPrivs"] == "1"
    assert fields["Seccomp"] == "2"


def test_the_expiry_of_the_key_in_the_mesh_is_known(stack: object) -> None:
    assert not isnan(lab_world.metric("meshgate_mesh_key_expiry_timestamp_seconds"))


def test_secrets_are_not_in_what_describe_shows(stack: object) -> None:
    described = kube.kubectl("describe", "all,cm,secrets,pvc", "-n", lab_world.NAMESPACE)
    secrets = [
        lab_world.api_key(),
        lab_world.in_gateway("agent", "cat", "/etc/meshgate/private-key").strip(),
        *lab_world.tokens(),
    ]
    for secret in secrets:
        assert secret
        assert secret not in described
