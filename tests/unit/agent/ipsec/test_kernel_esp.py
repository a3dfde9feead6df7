"""Whether the kernel does ESP, by what `ip` answers, and what is taken away of a charon that was killed."""

from pathlib import Path

import pytest

from gateway.agent.command import CommandError
from gateway.agent.protocols.ipsec import kernel_esp
from gateway.agent.protocols.ipsec.server_process import ServerSettings, configuration

STATES = """\
src 10.213.7.1 dst 10.213.7.2
	proto esp spi 0xc1b4d8d2 reqid 1 mode tunnel
	replay-window 0 flag af-unspec
	if_id 0x6d67
src 10.213.7.2 dst 10.213.7.1
	proto esp spi 0xcaa61d0b reqid 1 mode tunnel
	encap type espinudp sport 4500 dport 4500 addr 0.0.0.0
	if_id 0x6d67
src 192.0.2.1 dst 192.0.2.2
	proto esp spi 0xc0000001 reqid 9 mode tunnel
	if_id 0x6d671
src 192.0.2.2 dst 192.0.2.1
	proto esp spi 0xc0000002 reqid 9 mode tunnel
"""
POLICIES = """\
src 0.0.0.0/0 dst 10.77.0.5/32
	dir out priority 391807 ptype main
	tmpl src 10.213.7.1 dst 10.213.7.2
		proto esp spi 0xc1b4d8d2 reqid 1 mode tunnel
	if_id 0x6d67
src 10.77.0.5/32 dst 0.0.0.0/0
	dir fwd priority 391807 ptype main
	tmpl src 10.213.7.2 dst 10.213.7.1
		proto esp reqid 1 mode tunnel
	if_id 0x6d67
src 192.0.2.0/24 dst 198.51.100.0/24
	dir out priority 391807 ptype main
src 0.0.0.0/0 dst 0.0.0.0/0
	socket in priority 0 ptype main
"""


class Kernel:
    """It answers `ip`, and refuses what begins with some words."""

    def __init__(self, refused: str = "nothing") -> None:
        self.refused = refused
        self.done: list[str] = []
        self.interfaces = '[{},{"ifname":"ipsec0"}]'

    async def run(self, *arguments: str, stdin: str = "") -> str:
        words = " ".join(arguments[1:])
        if words.startswith(self.refused):
            raise CommandError(f"ip failed: {words}")
        if " list" in words:
            return POLICIES if "policy" in words else STATES
        if "-json" in words:
            return self.interfaces
        self.done += stdin.splitlines() if "-batch" in words else [words]
        return ""


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    kernel = Kernel()
    monkeypatch.setattr(kernel_esp, "run", kernel.run)
    return kernel


@pytest.mark.parametrize("refused", ["xfrm policy list", "xfrm state add", "link add"])
async def test_a_kernel_that_lacks_a_part_does_no_esp(kernel: Kernel, refused: str) -> None:
    kernel.refused = refused
    assert not await kernel_esp.is_there()


async def test_what_was_tried_is_gone(kernel: Kernel) -> None:
    kernel.interfaces = "[]"
    assert await kernel_esp.is_there()
    added, deleted = (
        next(one for one in kernel.done if one.startswith(f"xfrm state {what} ")) for what in ("add", "delete dst")
    )
    assert deleted.removeprefix("xfrm state delete ") in added


async def test_a_new_charon_finds_nothing_of_the_one_before_and_others_keep_theirs(kernel: Kernel) -> None:
    await kernel_esp.renew()
    assert kernel.done == [
        "xfrm policy delete src 0.0.0.0/0 dst 10.77.0.5/32 dir out if_id 0x6d67",
        "xfrm policy delete src 10.77.0.5/32 dst 0.0.0.0/0 dir fwd if_id 0x6d67",
        "xfrm state delete src 10.213.7.1 dst 10.213.7.2 proto esp spi 0xc1b4d8d2",
        "xfrm state delete src 10.213.7.2 dst 10.213.7.1 proto esp spi 0xcaa61d0b",
        "link delete dev ipsec0",
        "link add ipsec0 type xfrm if_id 0x6d67",
        "link set dev ipsec0 up",
    ]


@pytest.mark.parametrize(("number", "gone"), [(5, ["out", "fwd"]), (6, [])])
async def test_a_device_is_out_also_without_charon(kernel: Kernel, number: int, gone: list[str]) -> None:
    await kernel_esp.shut_out([f"10.77.0.{number}/32", f"fd77::{number}/128"])
    assert [command.split()[-3] for command in kernel.done] == gone


@pytest.mark.parametrize("by_kernel", [True, False])
def test_charon_does_esp_itself_only_where_the_kernel_does_not(tmp_path: Path, by_kernel: bool) -> None:
    told = configuration(ServerSettings(ipsec_dir=tmp_path), by_kernel=by_kernel)
    assert ("kernel-libipsec" in told) is not by_kernel
    assert ("install_routes = no" in told) is by_kernel
