"""Tools: the user's own in a fitting version, else a build kept by its inputs."""

import dataclasses
from pathlib import Path

import pytest

from lab import paths
from lab.tools import go_builds, go_toolchain

TOOL = go_builds.Tool(
    name="hello",
    version="1.2.3",
    module="hello",
    package=".",
    seconds=1,
    variables=("main.greeting=hi",),
    aliases=("bonjour",),
    own=go_builds.Own(("version",), at_least=(1, 2, 0), below=(2, 0, 0)),
)


def own_hello(directory: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> Path:
    command = directory / "hello"
    command.write_text(f"#!/bin/sh\n{body}\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(directory), prepend=":")
    return command


def test_a_fitting_tool_on_path_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = own_hello(tmp_path, monkeypatch, "echo hello v1.2.9 on linux/amd64")
    assert go_builds.resolve(TOOL) == command
    assert go_builds.cold_seconds(TOOL) == 0


@pytest.mark.parametrize("body", ["echo v1.1.9", "echo v2.0.0", "echo nothing", "echo v1.2.9; exit 1"])
def test_one_that_does_not_fit_or_run_is_not(body: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own_hello(tmp_path, monkeypatch, body)
    assert go_builds.find_own(TOOL) is None


def test_a_tool_that_is_always_built_is_not_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own_hello(tmp_path, monkeypatch, "echo v1.2.9")
    assert go_builds.find_own(dataclasses.replace(TOOL, own=None)) is None


def test_an_old_go_on_path_is_not_taken(tmp_path: Path) -> None:
    go = tmp_path / "go"
    go.write_text("#!/bin/sh\necho /usr/lib/go-1.19\necho go1.19.8\n")
    go.chmod(0o755)
    assert go_toolchain.inspect(go) is None


def test_a_newer_go_on_path_is(tmp_path: Path) -> None:
    go = tmp_path / "go"
    go.write_text("#!/bin/sh\necho /opt/go\necho go1.27.0\n")
    go.chmod(0o755)
    assert go_toolchain.inspect(go) == go_toolchain.Go(Path("/opt/go"), "go1.27.0")


@pytest.mark.parametrize(
    "tool",
    [*go_builds.LAB, go_builds.HEADSCALE_0_23, go_builds.ACTIONLINT, go_builds.VERSITYGW],
    ids=lambda tool: f"{tool.name}-{tool.version}",
)
def test_every_tool_has_its_pinned_module(tool: go_builds.Tool) -> None:
    module = paths.GO_MODULES / tool.module
    assert (module / "go.sum").is_file()
    assert f"v{tool.version}" in (module / "go.mod").read_text()


def test_the_gateway_image_builds_the_same_wireguard_go() -> None:
    dockerfile = (paths.REPOSITORY / "gateway" / "Dockerfile").read_text()
    assert f"{go_builds.WIREGUARD_GO.package}@v{go_builds.WIREGUARD_GO.version}" in dockerfile
