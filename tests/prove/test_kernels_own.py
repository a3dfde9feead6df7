"""ESP and WireGuard of a gateway by the kernel's own, where this machine's kernel may have neither: by Debian's."""

import os
import sys
from pathlib import Path

import pytest

from lab.network import strongswan
from lab.tools import go_builds, pinned_tools
from tests.prove import debian_kernel

ROOT = Path(__file__).parents[2]
GATEWAYS_OWN = "tests/contract/agent/test_ipsec_gateway.py"
AS_EVER = (
    "a_device_is_in_with_nothing_but_its_profile_until_it_is_revoked",
    "a_device_comes_back_from_elsewhere",
    "sessions_outlive_the_agent_and_new_ones_need_it_not",
    "a_session_moves_along_to_another_network",
)
"""Of what a gateway promises anyway, that which the kernel has a part in."""
_STATE = "dst ::1 proto esp spi 1"
PREPARED = f"""\
modprobe -a esp4 esp6 xfrm_user xfrm_interface gcm ctr seqiv authenc echainiv wireguard veth bridge tun nf_tables
ip xfrm state add src ::1 {_STATE} mode tunnel aead 'rfc4106(gcm(aes))' 0x{bytes(20).hex()} 128
ip xfrm state delete {_STATE}
cd {ROOT}
exec "$@"
"""
"""An emulated machine looks for modules and ciphers longer than a gateway waits."""
OPTIONS = ("--exitfirst", "--timeout=300", "-p", "no:cacheprovider", "-p", "no:xdist", "--color=no")


@pytest.mark.timeout(1200)
def test_a_gateway_lets_devices_in_by_its_kernel(tmp_path: Path) -> None:
    strongswan.bring()
    go_builds.resolve(pinned_tools.WIREGUARD_GO)
    tests = ["tests/contract/agent/by_kernel.py", *(f"{GATEWAYS_OWN}::test_{name}" for name in AS_EVER)]
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(Path.home()),
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
        "TEST_PATIENCE": "8",
    }
    said = debian_kernel.run(
        ["sh", "-c", PREPARED, "sh", sys.executable, "-m", "pytest", "-v", *OPTIONS, *tests],
        environment,
        tmp_path,
        within_s=1000,
    )
    assert " failed" not in said
    assert " skipped" not in said
