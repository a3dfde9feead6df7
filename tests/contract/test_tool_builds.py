"""Tools that Go builds: a tiny one, by the real toolchain."""

import dataclasses
from pathlib import Path

import pytest

from console.errors import StepError
from console.run import capture
from lab import paths
from lab.tools import go_builds, go_toolchain
from tests.unit.lab.test_go_builds import TOOL

MAIN = 'package main\n\nvar greeting = "unset"\n\nfunc main() { println(greeting) }\n'


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiny Go module, and a cache of its own (but Go's, which holds the compiled runtime)."""
    go = go_toolchain.find()
    monkeypatch.setenv("PATH", str(go.command.parent), prepend=":")
    go_cache = capture((go.command, "env", "GOCACHE"), doing="find Go's cache").strip()
    monkeypatch.setenv("GOCACHE", go_cache)
    directory = tmp_path / "go" / "hello"
    directory.mkdir(parents=True)
    (directory / "go.mod").write_text("module example/hello\n\ngo 1.26\n")
    (directory / "main.go").write_text(MAIN)
    monkeypatch.setattr(paths, "GO_MODULES", tmp_path / "go")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
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
