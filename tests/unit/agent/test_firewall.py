"""The firewall when its settings change; tests/contract/agent/test_firewall.py has its rules, on the real nft."""

import asyncio
import json
from contextlib import suppress
from pathlib import Path

import pytest

from gateway.agent import firewall
from gateway.agent.command import CommandError
from gateway.agent.firewall import Firewall
from gateway.agent.firewall_rules import rules
from gateway.agent.settings import AgentSettings
from tests.unit.agent.fakes import SERVER_KEY, unwireguarded


class Nft:
    """`nft` with one table, which is the text that was put in place last."""

    def __init__(self) -> None:
        self.table = ""
        self.broken = False

    async def run(self, *arguments: str, stdin: str = "") -> str:
        if self.broken:
            raise CommandError("nft failed: it is busy")
        if "list" in arguments:
            return json.dumps({"nftables": [{"table": {"text": self.table}}]})
        self.table = stdin
        return ""


@pytest.fixture
def nft(monkeypatch: pytest.MonkeyPatch) -> Nft:
    nft = Nft()
    monkeypatch.setattr(firewall, "run", nft.run)
    return nft


@pytest.fixture
def settings(tmp_path: Path) -> AgentSettings:
    return AgentSettings(
        listen_port=51820,
        endpoint="vpn.example.org:51820",
        client_networks="10.77.0.0/24",
        private_key_file=tmp_path,
        public_key=SERVER_KEY,
        token_file=tmp_path,
        state_dir=tmp_path,
    )


def with_name_server(settings: AgentSettings) -> AgentSettings:
    return AgentSettings.model_validate(settings.model_dump(exclude_unset=True) | {"dns": "192.0.2.53"})


async def test_changed_settings_are_in_place_at_once(nft: Nft, settings: AgentSettings) -> None:
    wall = Firewall(settings)
    await wall.apply()
    assert "192.0.2.53" not in nft.table
    await wall.take_up(with_name_server(settings))
    assert "192.0.2.53" in nft.table
    assert await wall.problems() == []


async def test_newcomers_are_counted_for_wireguard_alone(settings: AgentSettings, tmp_path: Path) -> None:
    assert "udp dport { 51820 } ct state new counter" in rules(settings)
    without = rules(unwireguarded(tmp_path, ipsec_dir=tmp_path))
    assert "newcomers" not in without
    assert "51820" not in without
    assert '"wg0"' not in without
    assert 'elements = { "ipsec0" }' in without


async def test_a_table_that_goes_is_put_back_and_nft_that_fails_is_told_once(
    nft: Nft, settings: AgentSettings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(firewall, "LOOK_EVERY_S", 0.001)
    wall = Firewall(settings)
    await wall.apply()
    keeping = asyncio.create_task(wall.keep())
    nft.broken = True
    await asyncio.sleep(0.05)
    nft.table, nft.broken = "somebody's", False
    await asyncio.sleep(0.05)
    assert nft.table == rules(settings)
    assert caplog.messages == ["the firewall table is not as it should be: nft failed: it is busy"]
    keeping.cancel()
    with suppress(asyncio.CancelledError):
        await keeping


async def test_what_could_not_be_put_in_place_is_restored_later(nft: Nft, settings: AgentSettings) -> None:
    wall = Firewall(settings)
    await wall.apply()
    nft.broken = True
    await wall.take_up(with_name_server(settings))
    nft.broken = False
    assert await wall.problems() == ["the firewall table is not as it was put in place"]
    await wall.restore()
    assert "192.0.2.53" in nft.table
    assert await wall.problems() == []
