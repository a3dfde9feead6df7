import shlex
from pathlib import Path

import pytest
from supervisor.options import ServerOptions

from lab import paths
from lab.processes import supervision
from lab.processes.supervision import Part


def parse(text: str, tmp_path: Path) -> dict[str, object]:
    """What supervisord itself reads out of a configuration, by program."""
    file = tmp_path / "supervisord.conf"
    file.write_text(text)
    options = ServerOptions()
    options.realize(["--configuration", str(file)])
    return {group.name: group.process_configs[0] for group in options.process_group_configs}


@pytest.fixture(autouse=True)
def logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "LOGS", tmp_path)


@pytest.mark.filterwarnings("ignore:Supervisord is running as root")
def test_supervisord_reads_commands_and_environment_as_they_were_meant(tmp_path: Path) -> None:
    part = Part("odd", ["/bin/echo", "100%", "two words", "it's"], environment={"SHARE": "50%", "LIST": "a,b=c"})
    config = parse(supervision.render([part]), tmp_path)["odd"]

    assert shlex.split(config.command) == part.command  # type: ignore[attr-defined]
    environment = dict(config.environment)  # type: ignore[attr-defined]
    assert environment.pop("MESHGATE_LAB_FILES") == part.digest
    assert environment == part.environment
    assert not config.autostart  # type: ignore[attr-defined]


def test_a_changed_file_makes_a_changed_part() -> None:
    path = Path("/etc/thing.conf")
    assert Part("a", ["x"], {path: "1"}).digest != Part("a", ["x"], {path: "2"}).digest
    assert Part("a", ["x"], {path: "1"}).digest == Part("a", ["x"], {path: "1"}).digest
