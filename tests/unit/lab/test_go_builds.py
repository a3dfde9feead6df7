"""Tools: the user's own in a fitting version, else a build kept by its inputs."""

import dataclasses
import struct
from pathlib import Path

import pytest

from lab import paths
from lab.tools import go_builds, go_toolchain, pinned_tools, static_elf

TOOL = pinned_tools.Tool(
    name="hello",
    version="1.2.3",
    module="hello",
    package=".",
    seconds=1,
    variables=("main.greeting=hi",),
    aliases=("bonjour",),
    own=pinned_tools.Own(("version",), at_least=(1, 2, 0), below=(2, 0, 0)),
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


def program(directory: Path, name: str, says: str) -> Path:
    directory.mkdir(exist_ok=True)
    command = directory / name
    command.write_text(f"#!/bin/sh\n[ \"$*\" = {says.split()[0]} ] && echo '{says.partition(' ')[2]}'\n")
    command.chmod(0o755)
    return command


OWN = {
    pinned_tools.PULUMI: ("version v3.182.0", "version v3.181.0"),
    pinned_tools.HEADSCALE: ("version headscale version v0.29.3", "version headscale version v0.30.0"),
    pinned_tools.HEADSCALE_0_23: ("version v0.23.0", "version v0.23.1"),
    **{tool: (f"version v{tool.version}", "version v0.24.0") for tool in pinned_tools.HEADSCALES[1:-1]},
    pinned_tools.COREDNS: ("-version CoreDNS-1.12.1", "-version CoreDNS-1.9.4"),
    pinned_tools.WIREGUARD_GO: ("--version wireguard-go v0.0.20250522", "--version wireguard-go v0.0.20220316"),
    pinned_tools.VERSITYGW: ("--version Version  : v1.8.2", "--version Version  : v1.0.0"),
    pinned_tools.ACTIONLINT: ("-version 1.7.12", "-version 1.6.0"),
}
"""How each tool is asked for its version; an answer that fits, and one that does not."""


@pytest.mark.parametrize("tool", OWN, ids=lambda tool: f"{tool.name}-{tool.version}")
def test_each_tool_of_the_users_own_is_taken_in_the_versions_that_the_lab_knows(
    tool: pinned_tools.Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    fitting, other = OWN[tool]
    command = program(tmp_path, tool.name, other)
    assert go_builds.find_own(tool) != command
    assert program(tmp_path, tool.name, fitting) == command
    assert go_builds.find_own(tool) == command


def test_every_other_tool_is_always_built() -> None:
    tools = [one for one in vars(pinned_tools).values() if isinstance(one, pinned_tools.Tool)]
    assert {tool.name for tool in tools if tool.own is None} == {
        "containerboot",
        "kube",
        "pulumi-language-python",
        "tailscaled",
    }
    assert {tool for tool in tools if tool.own is not None} | set(pinned_tools.HEADSCALES) == set(OWN)


def test_what_goes_into_an_image_is_static_and_of_the_tags_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(go_builds, "build", lambda tool: Path("/built", tool.name))
    command = own_hello(tmp_path, monkeypatch, "echo hello v1.2.3")
    assert go_builds.for_image(TOOL) == Path("/built/hello")  # a script is not static
    monkeypatch.setattr(static_elf, "is_static", lambda program: program == command)
    taken = go_builds.for_image(TOOL)
    assert taken.read_bytes() == command.read_bytes()
    assert [file.name for file in taken.parent.iterdir()] == ["hello"]
    own_hello(tmp_path, monkeypatch, "echo hello v1.2.9")
    assert go_builds.for_image(TOOL) == Path("/built/hello")


def test_a_program_that_asks_for_a_loader_is_not_static(tmp_path: Path) -> None:
    def elf(*types: int) -> Path:
        start = b"\x7fELF\x02\x01".ljust(16, b"\0")
        header = struct.pack("<16sHHIQQQIHHH", start, 2, 62, 1, 0, 64, 0, 0, 64, 56, len(types))
        file = tmp_path / "program"
        file.write_bytes(header.ljust(64, b"\0") + b"".join(struct.pack("<I52x", one) for one in types))
        return file

    assert static_elf.is_static(elf(1, 4))
    assert not static_elf.is_static(elf(6, 3, 1))
    assert not static_elf.is_static(Path("/bin/sh"))


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
    [*pinned_tools.LAB, *pinned_tools.HEADSCALES[:-1], pinned_tools.ACTIONLINT, pinned_tools.VERSITYGW],
    ids=lambda tool: f"{tool.name}-{tool.version}",
)
def test_every_tool_has_its_pinned_module(tool: pinned_tools.Tool) -> None:
    module = paths.GO_MODULES / tool.module
    assert (module / "go.sum").is_file()
    assert f"v{tool.version}" in (module / "go.mod").read_text()


def test_the_gateway_image_builds_the_same_wireguard_go() -> None:
    dockerfile = (paths.REPOSITORY / "gateway" / "Dockerfile").read_text()
    assert f"{pinned_tools.WIREGUARD_GO.package}@v{pinned_tools.WIREGUARD_GO.version}" in dockerfile
