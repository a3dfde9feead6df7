"""A file that changes while the agent runs."""

import logging
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from gateway.agent import measures
from gateway.agent.settings_loading import SettingsError
from gateway.agent.watched_file import WatchedFile

SETTING = "MESHGATE_TOKEN_FILE"


class User:
    """Takes up whatever does not begin with "bad"."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.taken: list[str] = []
        self.file = WatchedFile(SETTING, path, "one", self.take_up)
        self.registry = CollectorRegistry()
        self.registry.register(measures.RELOADED)

    def hold(self, text: str | None) -> None:
        """Let the file hold this; None: let there be no file."""
        self.path.unlink(missing_ok=True)
        if text is not None:
            self.path.write_text(text)

    async def take_up(self, text: str) -> None:
        if text.startswith("bad"):
            raise SettingsError(f"{SETTING}: it is bad\n{SETTING}: it is worse")
        self.taken.append(text)

    @property
    def metric(self) -> float | None:
        return self.registry.get_sample_value("meshgate_config_last_reload_successful", {"setting": SETTING})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_text("one")
    return path


async def test_a_change_is_taken_up_once(path: Path) -> None:
    user = User(path)
    await user.file.look()
    assert user.taken == []
    user.hold("two")
    await user.file.look()
    await user.file.look()
    assert user.taken == ["two"]
    user.hold("one")
    await user.file.look()
    assert user.taken == ["two", "one"]
    assert user.metric == 1


@pytest.fixture
def mounted(tmp_path: Path) -> Path:
    """A file of a Secret as the kubelet mounts it."""
    for version in ("one", "two"):
        (tmp_path / f"..{version}").mkdir()
        (tmp_path / f"..{version}" / "file").write_text(version)
    (tmp_path / "..data").symlink_to("..one")
    (tmp_path / "file").symlink_to("..data/file")
    return tmp_path / "file"


def swap(mounted: Path) -> None:
    """As the kubelet changes it: `..data` is renamed over its predecessor."""
    new = mounted.with_name("..new")
    new.symlink_to("..two")
    new.rename(mounted.with_name("..data"))


async def test_a_swapped_link_is_a_change(mounted: Path) -> None:
    user = User(mounted)
    swap(mounted)
    await user.file.look()
    assert user.taken == ["two"]


async def test_what_cannot_be_used_is_told_once_and_shown_until_it_is_right(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    user = User(path)
    caplog.set_level(logging.INFO)

    async def told(text: str | None) -> list[str]:
        caplog.clear()
        user.hold(text)
        for _ in range(3):
            await user.file.look()
        return [record.message for record in caplog.records]

    bad = f"{SETTING}: it is bad; {SETTING}: it is worse; what was read before stays in use"
    assert await told("bad") == [bad]
    assert (user.taken, user.metric) == ([], 0)
    assert await told(None) == [
        f"{SETTING}: {path} cannot be read: No such file or directory; what was read before stays in use"
    ]
    assert user.metric == 0
    assert await told("one") == [], "it is what is in use"
    assert user.metric == 1
    assert await told("bad") == [bad]
    assert await told("two") == [f"{SETTING}: {path} has changed and is taken up"]
    assert (user.taken, user.metric) == (["two"], 1)
