"""Settings out of environment and directory, and what a change of the directory does."""

import os
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from gateway.agent.live_settings import LIVE, LiveSettings, read_directory
from gateway.agent.settings import AgentSettings
from gateway.agent.settings_loading import SettingsError
from tests.unit.agent.test_settings import GOOD

LINES = "MESHGATE_ENDPOINT=vpn.example.org:51820\nMESHGATE_MTU=1300\n"


@pytest.fixture
def directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """As Kubernetes mounts a ConfigMap."""
    for name in os.environ:
        if name.startswith("MESHGATE_"):
            monkeypatch.delenv(name)
    for name, value in GOOD.items():
        if name != "ENDPOINT":
            monkeypatch.setenv(f"MESHGATE_{name}", value)
    monkeypatch.setenv("MESHGATE_SETTINGS_DIR", str(tmp_path))
    (tmp_path / "..2027").mkdir()
    (tmp_path / "..data").symlink_to("..2027")
    for name, value in (("ENDPOINT", "vpn.example.org:51820\n"), ("MTU", "1300"), ("DNS", "")):
        (tmp_path / "..data" / f"MESHGATE_{name}").write_text(value)
        (tmp_path / f"MESHGATE_{name}").symlink_to(f"..data/MESHGATE_{name}")
    return tmp_path


def test_the_directory_stands_beside_the_environment(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESHGATE_PERSISTENT_KEEPALIVE", "10")
    settings = LiveSettings()()
    assert (settings.endpoint, settings.mtu, settings.dns) == ("vpn.example.org:51820", 1300, ())
    assert (settings.persistent_keepalive, settings.listen_port) == (10, 51820)


def test_without_a_directory_the_environment_is_all(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MESHGATE_SETTINGS_DIR")
    with pytest.raises(SettingsError, match="MESHGATE_ENDPOINT is not set"):
        LiveSettings()
    monkeypatch.setenv("MESHGATE_ENDPOINT", "vpn.example.org:1")
    live = LiveSettings()
    assert (live().endpoint, live.path) == ("vpn.example.org:1", None)


def test_a_directory_that_is_not_there_is_named(directory: Path) -> None:
    with pytest.raises(SettingsError, match=f"MESHGATE_SETTINGS_DIR: {directory}/none cannot be read: No such file"):
        read_directory("MESHGATE_SETTINGS_DIR", directory / "none")


async def test_a_change_reaches_everybody_who_follows(directory: Path) -> None:
    live = LiveSettings()
    seen: list[tuple[str, AgentSettings]] = []

    async def first(settings: AgentSettings) -> None:
        seen.append(("first", settings))

    async def second(settings: AgentSettings) -> None:
        seen.append(("second", settings))

    live.follow(first, second)
    await live.take_up(f"{LINES}MESHGATE_DNS=192.0.2.53\nMESHGATE_ALLOWED_IPS=100.64.0.0/10\n")
    assert live().dns == (ip_address("192.0.2.53"),)
    assert live().allowed_ips == (ip_network("100.64.0.0/10"),)
    assert seen == [("first", live()), ("second", live())]
    await live.take_up("MESHGATE_ENDPOINT=vpn.example.org:51820\n")
    assert live().mtu == 1280, "what is not there any more has its default"


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ("MESHGATE_MTU=9\n", "MESHGATE_MTU: Input should be greater than or equal to 1280 (it is '9')"),
        (
            "MESHGATE_STATE_DIR=/elsewhere\n",
            "MESHGATE_SETTINGS_DIR: MESHGATE_STATE_DIR cannot change while the agent runs; set it in its environment",
        ),
        ("MTU=1300\n", "MESHGATE_SETTINGS_DIR: MTU cannot change while the agent runs; set it in its environment"),
        ("MESHGATE_MTU=13\n00\n", "MESHGATE_SETTINGS_DIR: line 3 is not NAME=VALUE"),
    ],
)
async def test_what_cannot_be_used_changes_nothing(directory: Path, lines: str, sentence: str) -> None:
    live = LiveSettings()
    before = live()

    async def never(_: AgentSettings) -> None:
        raise AssertionError("nothing has changed")

    live.follow(never)
    with pytest.raises(SettingsError) as refusal:
        await live.take_up("MESHGATE_ENDPOINT=vpn.example.org:51820\n" + lines)
    assert str(refusal.value) == sentence
    assert live() is before


def test_what_may_change_is_a_setting() -> None:
    assert set(AgentSettings.model_fields) > LIVE
