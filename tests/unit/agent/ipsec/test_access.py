"""Whom charon has loaded, as the devices come and go."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import cast

import pytest

from gateway.agent.devices import Devices
from gateway.agent.protocols.dispatch import Dispatch
from gateway.agent.protocols.ipsec import access, gate
from gateway.agent.protocols.ipsec.access import IpSec
from gateway.agent.protocols.ipsec.charon import Charon, Command
from gateway.agent.protocols.ipsec.device_connections import names
from gateway.agent.registration import Registration
from gateway.agent.store import Store
from tests.deadlines import wait_for
from tests.unit.agent.fakes import agent_settings, made_issuer

ID = "vq+/ya2fnV1pYjXSx0WwAJUk0MoAbsLyvQO8SCFF7Dk="
YEAR_S = 365 * 86400


class FakeCharon:
    """It keeps the names of connections."""

    def __init__(self) -> None:
        self.loaded: set[str] = set()

    async def run(self, commands: Iterable[Command]) -> None:
        for command in commands:
            if command.name == "load-conn":
                self.loaded.update(command.message)
            if command.name == "unload-conn":
                self.loaded.discard(command.message["name"])

    async def connections(self) -> list[str]:
        return list(self.loaded)


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


async def test_a_clock_that_is_right_again_before_anybody_expires_keeps_nobody_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = asyncio.Event()

    async def open_() -> None:
        opened.set()

    async def is_open() -> bool:
        return False

    monkeypatch.setattr(gate, "open_", open_)
    monkeypatch.setattr(gate, "is_open", is_open)
    monkeypatch.setattr(access, "RETRY_S", 0.01)
    issuing = {"issuing_certificate_file": tmp_path / "chain", "issuing_key_file": tmp_path / "key"}
    charon, clock, settings = FakeCharon(), Clock(), agent_settings(tmp_path, ipsec_dir=tmp_path, **issuing)
    ipsec = IpSec(lambda: settings, made_issuer())
    devices = Devices(
        Store(tmp_path / "peers.sqlite"), Dispatch({"ipsec": ipsec}), settings.client_networks, None, clock=clock
    )
    registration = Registration(public_key=ID, protocol="ipsec", certified_key=b"", ttl_seconds=600)
    assert not (await devices.register(registration)).is_in, "there is no charon yet"
    clock.now += YEAR_S
    keeping = asyncio.create_task(ipsec._keep_loaded(cast("Charon", charon), devices))
    try:
        await asyncio.wait_for(opened.wait(), 2)
        assert charon.loaded == set()
        clock.now -= YEAR_S
        await asyncio.to_thread(wait_for, lambda: charon.loaded == set(names(ID)), "the device", 2)
    finally:
        keeping.cancel()
        with suppress(asyncio.CancelledError):
            await keeping
