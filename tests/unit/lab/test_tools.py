"""Tools: the user's own in a fitting version, else a build kept by its inputs."""

import dataclasses
from pathlib import Path

import pytest

from lab import paths, toolchain, tools
from lab.errors import LabError
from lab.run import capture

TOOL = tools.Tool(
    name="hello",
    version="1.2.3",
    module="hello",
    package=".",
    seconds=1,
    variables=("main.greeting=hi",),
    aliases=("bonjour",),
    own=tools.Own(("version",), at_least=(1, 2, 0), below=(2, 0, 0)),
)
MAIN = 'package main\n\nvar greeting = "unset"\n\nfunc main() { println(greeting) }\n'


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiny Go module, and a cache of its own (but Go's, which holds the compiled runtime)."""
    go_cache = capture((toolchain.find().command, "env", "GOCACHE"), doing="find Go's cache").strip()
    monkeypatch.setenv("GOCACHE", go_cache)
    directory = tmp_path / "go" / "hello"
    directory.mkdir(parents=True)
    (directory / "go.mod").write_text("module example/hello\n\ngo 1.26\n")
    (directory / "main.go").write_text(MAIN)
    monkeypatch.setattr(paths, "GO_MODULES", tmp_path / "go")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return directory


def own_hello(directory: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> Path:
    command = directory / "hello"
    command.write_text(f"#!/bin/sh\n{body}\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(directory), prepend=":")
    return command


def test_a_fitting_tool_on_path_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = own_hello(tmp_path, monkeypatch, "echo hello v1.2.9 on linux/amd64")
    assert tools.resolve(TOOL) == command
    assert tools.cold_seconds(TOOL) == 0


@pytest.mark.parametrize("body", ["echo v1.1.9", "echo v2.0.0", "echo nothing", "echo v1.2.9; exit 1"])
def test_one_that_does_not_fit_or_run_is_not(body: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own_hello(tmp_path, monkeypatch, body)
    assert tools.find_own(TOOL) is None


def test_a_tool_that_is_always_built_is_not_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own_hello(tmp_path, monkeypatch, "echo v1.2.9")
    assert tools.find_own(dataclasses.replace(TOOL, own=None)) is None


def test_a_build_is_kept_with_its_aliases(module: Path) -> None:
    assert tools.cold_seconds(TOOL) == 1
    built = tools.resolve(TOOL)
    assert built.name == "hello"
    assert (built.parent / "bonjour").resolve() == built
    assert built.is_relative_to(paths.cache() / "bin")
    assert tools.cold_seconds(TOOL) == 0
    modified = built.stat().st_mtime_ns
    assert tools.resolve(TOOL) == built
    assert built.stat().st_mtime_ns == modified


def test_without_a_toolchain_everything_is_still_to_be_built(module: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools.build(TOOL)
    monkeypatch.setattr(toolchain, "at_hand", lambda: None)
    assert tools.cold_seconds(TOOL) == 1


def test_source_flags_and_go_version_decide_the_entry(module: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = tools.build(TOOL)
    flags = tools.build(dataclasses.replace(TOOL, variables=()))
    (module / "main.go").write_text(MAIN + "\n// changed\n")
    source = tools.build(TOOL)
    go = dataclasses.replace(toolchain.find(), version="go1.99.0")
    monkeypatch.setattr(toolchain, "find", lambda: go)
    assert len({first, flags, source, tools.build(TOOL)}) == 4


def test_a_broken_build_leaves_nothing_and_says_what_to_do(module: Path) -> None:
    (module / "main.go").write_text("package main\n\nfunc main() { nonsense }\n")
    with pytest.raises(LabError) as caught:
        tools.build(TOOL)
    assert caught.value.sentence == (
        "Could not build hello 1.2.3: go ended with status 1. "
        "Or install hello 1.2.0 or newer (below 2.0.0) and put it on PATH."
    )
    assert "undefined: nonsense" in str(caught.value)
    assert list((paths.cache() / "bin").iterdir()) == []


def test_an_old_go_on_path_is_not_taken(tmp_path: Path) -> None:
    go = tmp_path / "go"
    go.write_text("#!/bin/sh\necho /usr/lib/go-1.19\necho go1.19.8\n")
    go.chmod(0o755)
    assert toolchain.inspect(go) is None


def test_a_newer_go_on_path_is(tmp_path: Path) -> None:
    go = tmp_path / "go"
    go.write_text("#!/bin/sh\necho /opt/go\necho go1.27.0\n")
    go.chmod(0o755)
    assert toolchain.inspect(go) == toolchain.Go(Path("/opt/go"), "go1.27.0")


@pytest.mark.parametrize(
    "tool",
    [*tools.LAB, tools.HEADSCALE_0_23, tools.ACTIONLINT, tools.VERSITYGW],
    ids=lambda tool: f"{tool.name}-{tool.version}",
)
def test_every_tool_has_its_pinned_module(tool: tools.Tool) -> None:
    module = paths.GO_MODULES / tool.module
    assert (module / "go.sum").is_file()
    assert f"v{tool.version}" in (module / "go.mod").read_text()


def test_the_gateway_image_builds_the_same_wireguard_go() -> None:
    dockerfile = (paths.REPOSITORY / "gateway" / "Dockerfile").read_text()
    assert f"{tools.WIREGUARD_GO.package}@v{tools.WIREGUARD_GO.version}" in dockerfile
