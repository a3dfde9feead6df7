"""The firewall when its settings change; tests/contract/agent/test_firewall.py has its rules, on the real nft."""

import json
from pathlib import Path

import pytest

from gateway.agent import firewall
from gateway.agent.command import CommandError
from gateway.agent.firewall import Firewall
from gateway.agent.settings import AgentSettings
from tests.unit.agent.fakes import SERVER_KEY


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
