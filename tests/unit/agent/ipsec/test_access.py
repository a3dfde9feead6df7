"""Whom charon has loaded, as the devices come and go."""

import asyncio
import datetime
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Self, cast

import pytest
from cryptography import x509

from gateway.agent import certificates
from gateway.agent.devices import Devices
from gateway.agent.protocols.dispatch import Dispatch
from gateway.agent.protocols.ipsec import access, gate
from gateway.agent.protocols.ipsec.access import IpSec
from gateway.agent.protocols.ipsec.charon import Charon, Command
from gateway.agent.protocols.ipsec.device_connections import names
from gateway.agent.registration import Registration
from gateway.agent.stores.sqlite import SqliteStore
from tests.deadlines import wait_for
from tests.unit.agent.fakes import agent_settings, made_issuer

ID = "vq+/ya2fnV1pYjXSx0WwAJUk0MoAbsLyvQO8SCFF7Dk="
YEAR_S = 365 * 86400


class FakeCharon:
    """It keeps the names of connections, and its certificates."""

    def __init__(self) -> None:
        self.loaded: set[str] = set()
        self.own_certificates: list[x509.Certificate] = []

    async def run(self, commands: Iterable[Command]) -> None:
        for command in commands:
            if command.name == "load-cert" and command.message["flag"] == "NONE":
                self.own_certificates.append(x509.load_pem_x509_certificate(command.message["data"]))
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


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Set when clients are let to charon."""
    opened = asyncio.Event()

    async def open_() -> None:
        opened.set()

    async def is_open() -> bool:
        return False

    monkeypatch.setattr(gate, "open_", open_)
    monkeypatch.setattr(gate, "is_open", is_open)
    monkeypatch.setattr(access, "RETRY_S", 0.01)
    return opened


class Gateway:
    """The list of devices, and charon, which the agent loads them into."""

    def __init__(self, directory: Path) -> None:
        issuing = {"issuing_certificate_file": directory / "chain", "issuing_key_file": directory / "key"}
        settings = agent_settings(directory, ipsec_dir=directory, **issuing)
        self.charon, self.clock = FakeCharon(), Clock()
        self._ipsec = IpSec(lambda: settings, made_issuer())
        self._store = SqliteStore(directory / "peers.sqlite")
        protocols, networks = Dispatch({"ipsec": self._ipsec}), settings.client_networks
        self.devices = Devices(self._store, protocols, networks, None, clock=self.clock)

    @asynccontextmanager
    async def kept_loaded(self) -> AsyncIterator[None]:
        keeping = asyncio.create_task(self._ipsec._keep_loaded(cast("Charon", self.charon), self.devices))
        try:
            yield
        finally:
            keeping.cancel()
            with suppress(asyncio.CancelledError):
                await keeping
            self._store.close()


async def test_a_clock_that_is_right_again_before_anybody_expires_keeps_nobody_out(
    tmp_path: Path, opened: asyncio.Event
) -> None:
    gateway = Gateway(tmp_path)
    registration = Registration(public_key=ID, protocol="ipsec", certified_key=b"", ttl_seconds=600)
    assert not (await gateway.devices.register(registration)).is_in, "there is no charon yet"
    gateway.clock.now += YEAR_S
    async with gateway.kept_loaded():
        await asyncio.wait_for(opened.wait(), 2)
        assert gateway.charon.loaded == set()
        gateway.clock.now -= YEAR_S
        await asyncio.to_thread(wait_for, lambda: gateway.charon.loaded == set(names(ID)), "the device", 2)


async def test_charons_certificate_is_renewed_before_it_ends(
    tmp_path: Path, opened: asyncio.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = Gateway(tmp_path)
    async with gateway.kept_loaded():
        await asyncio.wait_for(opened.wait(), 2)
        (first,) = gateway.charon.own_certificates
        renewed = first.not_valid_after_utc - certificates.RENEWED_BEFORE

        class Then(datetime.datetime):
            @classmethod
            def now(cls, tz: datetime.tzinfo | None = None) -> Self:
                return cls.fromtimestamp(renewed.timestamp() + 1, datetime.UTC)

        monkeypatch.setattr(datetime, "datetime", Then)
        await asyncio.to_thread(wait_for, lambda: len(gateway.charon.own_certificates) == 2, "another one", 2)
    assert gateway.charon.own_certificates[1].not_valid_after_utc > first.not_valid_after_utc + timedelta(days=300)
