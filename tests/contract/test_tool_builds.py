"""Tools that Go builds: a tiny one, by the real toolchain."""

import dataclasses
from pathlib import Path

import pytest

from console.errors import StepError
from console.waiting import until
from lab import paths
from lab.tools import go_builds, go_toolchain
from tests.unit.lab.test_go_builds import TOOL

MAIN = 'package main\n\nvar greeting = "unset"\n\nfunc main() { println(greeting) }\n'


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiny Go module, and a cache of its own (but Go's, which holds the compiled runtime)."""
    monkeypatch.setenv("PATH", str(go_toolchain.find().command.parent), prepend=":")
    go_cache = paths.cache() / "go-build"
    go_cache.mkdir(parents=True, exist_ok=True)
    directory = tmp_path / "go" / "hello"
    directory.mkdir(parents=True)
    (directory / "go.mod").write_text("module example/hello\n\ngo 1.26\n")
    (directory / "main.go").write_text(MAIN)
    monkeypatch.setattr(paths, "GO_MODULES", tmp_path / "go")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    paths.cache().mkdir(parents=True)
    (paths.cache() / "go-build").symlink_to(go_cache)
    return directory


def test_a_build_is_kept_with_its_aliases(module: Path) -> None:
    assert go_builds.cold_seconds(TOOL) == 1
    built = go_builds.resolve(TOOL)
    assert built.name == "hello"
    assert (built.parent / "bonjour").resolve() == built
    assert built.is_relative_to(paths.cache() / "bin")
    assert go_builds.cold_seconds(TOOL) == 0
    modified = built.stat().st_mtime_ns
    assert go_builds.resolve(TOOL) == built
    assert built.stat().st_mtime_ns == modified


def test_without_a_toolchain_everything_is_still_to_be_built(module: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go_builds.build(TOOL)
    monkeypatch.setattr(go_toolchain, "at_hand", lambda: None)
    assert go_builds.cold_seconds(TOOL) == 1


def test_source_flags_and_go_version_decide_the_entry(module: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = go_builds.build(TOOL)
    flags = go_builds.build(dataclasses.replace(TOOL, variables=()))
    (module / "main.go").write_text(MAIN + "\n// changed\n")
    source = go_builds.build(TOOL)
    go = dataclasses.replace(go_toolchain.find(), version="go1.99.0")
    monkeypatch.setattr(go_toolchain, "find", lambda: go)
    assert len({first, flags, source, go_builds.build(TOOL)}) == 4


def test_a_broken_build_leaves_nothing_and_says_what_to_do(module: Path) -> None:
    (module / "main.go").write_text("package main\n\nfunc main() { nonsense }\n")
    with pytest.raises(StepError) as caught:
        go_builds.build(TOOL)
    assert caught.value.sentence == (
        "Could not build hello 1.2.3: go ended with status 1. "
        "Or install hello 1.2.0 or newer (below 2.0.0) and put it on PATH."
    )
    assert "undefined: nonsense" in str(caught.value)
    assert list((paths.cache() / "bin").iterdir()) == []


def test_a_build_ahead_is_waited_for(module: Path) -> None:
    with go_builds.ahead(TOOL):
        assert go_builds.build(TOOL).exists()
        assert list(paths.cache().rglob(TOOL.name)) == [go_builds.build(TOOL)]


def test_a_build_ahead_that_fails_is_told_to_who_needs_the_tool(module: Path) -> None:
    (module / "main.go").write_text("package main\n\nfunc main() { nonsense }\n")
    with go_builds.ahead(TOOL), pytest.raises(StepError, match="Could not build hello"):
        go_builds.build(TOOL)


def test_a_block_that_is_interrupted_ends_the_build(module: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A `go` that would take for ever stands in for the compiler at work."""
    go = module / "bin" / "go"
    go.parent.mkdir()
    go.write_text(f"#!/bin/sh\necho $$ > {module}/pid\nexec sleep 1000\n")
    go.chmod(0o755)
    monkeypatch.setattr(go_toolchain, "find", lambda: go_toolchain.Go(module, "go1.99.0"))

    def interrupted() -> None:
        with go_builds.ahead(TOOL):
            until((module / "pid").exists, deadline=10, otherwise=lambda: StepError("go was not started"))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not Path("/proc", (module / "pid").read_text().strip()).exists()
    assert list((paths.cache() / "bin").iterdir()) == []
