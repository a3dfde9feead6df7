"""The programs that the lab runs, and how each is had.

A tool is resolved in this order: the user's own on PATH in a version that the lab is tested with; the
binary that an earlier run built; a build of its pinned Go module under lab/go. Builds run one after
another, also `ahead` of their use, and are kept in the cache by the hash of module, flags and Go version.
"""

import os
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from console import environment, programs, pulumi_cli
from console.errors import StepError
from console.progress import console, step
from console.run import run
from lab import paths
from lab.tools import cache, go_toolchain, static_elf


@dataclass(frozen=True)
class Own:
    """How a user's own copy of a tool is recognised: `arguments` make it print its version."""

    arguments: tuple[str, ...]
    at_least: programs.Version
    below: programs.Version


@dataclass(frozen=True)
class Tool:
    """A program and its pinned source.

    `module` is a directory below lab/go, `package` what to build there. `seconds` is the time of a cold
    build on 2 cores, after the tools that `LAB` names before it. `variables` are set by the linker,
    `aliases` are further names of the same binary. A tool without `own` is always built: nobody installs
    it the way it is needed here, or it does not tell its version.
    """

    name: str
    version: str
    module: str
    package: str
    seconds: int
    tags: str = ""
    variables: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    own: Own | None = None


PULUMI = Tool(
    name="pulumi",
    version="3.259.0",
    module="workspace/pulumi",
    package="github.com/pulumi/pulumi/pkg/v3/cmd/pulumi",
    seconds=190,
    variables=("github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v3.259.0",),
    own=Own(("version",), pulumi_cli.AT_LEAST, pulumi_cli.BELOW),
)
PULUMI_LANGUAGE_PYTHON = Tool(
    # The last version in which the language host is part of the SDK's module; it runs programs
    # of today's SDK. A user's own is none of its own: it comes with their Pulumi (lab.pulumi.pulumi_host).
    name="pulumi-language-python",
    version="3.78.0",
    module="pulumi-language-python",
    package="github.com/pulumi/pulumi/sdk/v3/python/cmd/pulumi-language-python",
    seconds=35,
)
HEADSCALE = Tool(
    name="headscale",
    version="0.29.2",
    module="headscale-0.29.2",
    package="github.com/juanfont/headscale/cmd/headscale",
    seconds=130,
    # The very version that the image's tag says.
    own=Own(("version",), at_least=(0, 29, 2), below=(0, 29, 3)),
)
HEADSCALE_0_23 = Tool(
    # Only for the contract tests: June runs this one.
    name="headscale",
    version="0.23.0",
    module="headscale-0.23.0",
    package="github.com/juanfont/headscale/cmd/headscale",
    seconds=100,
    own=Own(("version",), at_least=(0, 23, 0), below=(0, 23, 1)),
)
_TAILSCALE_VERSION = (
    "tailscale.com/version.shortStamp=1.102.3",
    "tailscale.com/version.longStamp=1.102.3",
)
TAILSCALED = Tool(
    # One binary that is both: it acts as the client when it is called `tailscale`. The image needs it so, hence
    # nothing would be saved by a user's own, which are two.
    name="tailscaled",
    version="1.102.3",
    module="workspace/tailscale",
    package="tailscale.com/cmd/tailscaled",
    seconds=130,
    tags="ts_include_cli",
    variables=_TAILSCALE_VERSION,
    aliases=("tailscale",),
)
CONTAINERBOOT = Tool(
    # It does not tell its version: called in any way, it starts.
    name="containerboot",
    version="1.102.3",
    module="workspace/tailscale",
    package="tailscale.com/cmd/containerboot",
    seconds=10,
    variables=_TAILSCALE_VERSION,
)
KUBE = Tool(
    # Every component and kubectl; the last minor version that runs on cgroup v1.
    name="kube",
    version="1.34.3",
    module="workspace/kubernetes",
    package=".",
    seconds=400,
    variables=(
        "k8s.io/component-base/version.gitVersion=v1.34.3",
        "k8s.io/component-base/version.gitMajor=1",
        "k8s.io/component-base/version.gitMinor=34",
    ),
    aliases=("kubectl",),
)
COREDNS = Tool(
    name="coredns",
    version="1.14.1",
    module="workspace/coredns",
    package=".",
    seconds=12,
    own=Own(("-version",), at_least=(1, 10, 0), below=(2, 0, 0)),
)
WIREGUARD_GO = Tool(
    name="wireguard-go",
    version="0.0.0-20260522210424-ecfc5a8d5446",
    module="wireguard-go",
    package="golang.zx2c4.com/wireguard",
    seconds=3,
    # It prints its latest tag. Debian 12's is of 2022 and eight times slower.
    own=Own(("--version",), at_least=(0, 0, 20250522), below=(0, 1, 0)),
)
VERSITYGW = Tool(
    # Only for the contract tests: an S3 server that keeps a stack's state.
    name="versitygw",
    version="1.8.0",
    module="versitygw",
    package="github.com/versity/versitygw/cmd/versitygw",
    seconds=60,
    own=Own(("--version",), at_least=(1, 8, 0), below=(1, 9, 0)),
)
ACTIONLINT = Tool(
    # Only for the contract tests: it reads the workflows as GitHub would.
    name="actionlint",
    version="1.7.12",
    module="actionlint",
    package="github.com/rhysd/actionlint/cmd/actionlint",
    seconds=10,
    variables=("github.com/rhysd/actionlint.version=v1.7.12",),
    own=Own(("-version",), at_least=(1, 7, 7), below=(2, 0, 0)),
)

LAB = (KUBE, COREDNS, TAILSCALED, WIREGUARD_GO, CONTAINERBOOT, HEADSCALE, PULUMI_LANGUAGE_PYTHON, PULUMI)
"""What `up` needs, in the order in which it first waits for each."""


def resolve(tool: Tool) -> Path:
    """Return the program's file, built first if need be (its aliases lie beside it).

    Raises StepError when it has to be built and cannot be.
    """
    return find_own(tool) or build(tool)


def find_own(tool: Tool) -> Path | None:
    """Return the user's own copy of a tool from PATH, if its version fits."""
    found = programs.find(tool.name)
    if tool.own is None or found is None:
        return None
    version = programs.version(found, tool.own.arguments, pulumi_cli.QUIET)
    # A broken installation is no reason to stop: the lab builds its own.
    return found if version and tool.own.at_least <= version < tool.own.below else None


def for_image(tool: Tool) -> Path:
    """Return a tool that can go into an image under its version, alone in its directory.

    A user's own must be that very version, and static: an image has no libraries of this machine.
    """
    own = find_own(tool)
    if own is None or tool.own is None:
        return build(tool)
    if (version := programs.version(own, tool.own.arguments)) is None or programs.written(version) != tool.version:
        return build(tool)
    if not static_elf.is_static(own):
        console.print(f"{own} needs libraries of this machine, so the image gets a {tool.name} that is built here.")
        return build(tool)
    kept = paths.cache() / "own" / cache.fingerprint(tool.name, own)
    return cache.keep(kept, lambda directory: _copy(own, directory / tool.name)) / tool.name


def _copy(program: Path, target: Path) -> None:
    target.parent.mkdir()
    shutil.copy(program, target)


def build(tool: Tool) -> Path:
    """Return the binary of the tool's pinned Go module from the cache, built first if need be."""
    entry = _built(tool)
    if waited_for := _under_way.get(entry):
        waited_for.result()
    return cache.keep(entry, lambda directory: _build(tool, directory)) / tool.name


@contextmanager
def ahead(*tools: Tool) -> Iterator[None]:
    """Build in the background what is missing of these tools, in their order, while the block goes on.

    Within the block `build` waits for a tool's turn, and raises what went wrong with it. A block that
    ends by an error or by Ctrl-C ends the build that is at work.
    """
    stop = threading.Event()

    def make(tool: Tool, entry: Path) -> None:
        cache.keep(entry, lambda directory: _build(tool, directory, stop))

    missing = {_built(tool): tool for tool in tools if not find_own(tool) and not _built(tool).exists()}
    with ThreadPoolExecutor(1) as compiler, ThreadPoolExecutor(1) as downloader:
        _under_way.update({entry: compiler.submit(make, tool, entry) for entry, tool in missing.items()})
        # While one tool is compiled, which waits for no network, the source of the next ones comes.
        for tool in missing.values():
            downloader.submit(_download, tool, stop)
        try:
            yield
        except BaseException:
            stop.set()
            for worker in (compiler, downloader):
                worker.shutdown(wait=False, cancel_futures=True)
            raise
        finally:
            _under_way.clear()


_under_way: dict[Path, Future[None]] = {}
"""What `ahead` builds, by the cache's directory."""


def cold_seconds(*tools: Tool) -> int:
    """Return about how long the builds that are still to be done will take on 2 cores."""
    # Without a toolchain nothing can be there: what is built goes by the toolchain's version too.
    nothing_built = go_toolchain.at_hand() is None
    return sum(tool.seconds for tool in tools if not find_own(tool) and (nothing_built or not _built(tool).exists()))


def _built(tool: Tool) -> Path:
    """Return the cache's directory of a built tool, whether or not it is there."""
    workspace = _workspace(tool)
    sources = workspace.parent if workspace else paths.GO_MODULES / tool.module
    inputs = (tool.name, *_flags(tool), *ENVIRONMENT.values(), *tool.aliases, go_toolchain.find().version)
    return paths.cache() / "bin" / cache.fingerprint(*inputs, sources)


def _workspace(tool: Tool) -> Path | None:
    """Return the go.work that decides the versions of a tool's packages together with other tools', if there is one."""
    file = (paths.GO_MODULES / tool.module).with_name("go.work")
    return file if file.exists() else None


ENVIRONMENT = {"CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false", "GOTOOLCHAIN": "local"}
"""Static binaries, whatever the user has set for Go."""


def compiler_environment(tool: Tool) -> dict[str, str]:
    """Return the environment of `go`: what decides the result, the lab's own caches, and a compiler in a hurry."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        **ENVIRONMENT,
        "GOWORK": str(_workspace(tool) or "off"),
        "GOCACHE": str(paths.cache() / "go-build"),
        "GOMODCACHE": str(paths.cache() / "go-modules"),
        # A compiler lives for seconds: it collects no garbage before one of two needs a quarter of the memory.
        "GOGC": "off",
        "GOMEMLIMIT": str(memory // 4),
    }


def _flags(tool: Tool) -> tuple[str, ...]:
    """Return the arguments of `go build` that decide what comes out."""
    linker = " ".join(("-s", "-w", *(f"-X {variable}" for variable in tool.variables)))
    # Nobody debugs these programs; the linker would leave out what the compiler spent a tenth of its time on.
    return ("-trimpath", "-gcflags=all=-dwarf=false", "-tags", tool.tags, "-ldflags", linker, tool.package)


def _build(tool: Tool, directory: Path, stop: threading.Event | None = None) -> None:
    """Build a tool into a new directory, with its aliases as links beside it."""
    title = f"{tool.name} {tool.version}"
    with step(f"Build {title} from its Go module", expected_seconds=tool.seconds):
        try:
            _go(tool, "build", "-o", str(directory / tool.name), *_flags(tool), stop=stop)
        except StepError as error:
            raise StepError(f"{error.sentence}{_alternative(tool)}", error.log) from error
    for alias in tool.aliases:
        (directory / alias).symlink_to(tool.name)


def _download(tool: Tool, stop: threading.Event) -> None:
    """Have the source of all that a tool is made of; what cannot be had is told by its build."""
    with suppress(StepError):
        _go(tool, "list", "-deps", "-tags", tool.tags, tool.package, stop=stop)


def _go(tool: Tool, command: str, *arguments: str, stop: threading.Event | None) -> None:
    """Run `go` on a tool's module; raise StepError with what it printed."""
    run(
        (go_toolchain.find().command, command, *arguments),
        doing=f"{command} {tool.name} {tool.version}",
        log=paths.cache() / "logs" / f"{command}-{tool.name}-{tool.version}.log",
        cwd=paths.GO_MODULES / tool.module,
        base=environment.downloading(),
        env=compiler_environment(tool),
        stop=stop,
    )


def _alternative(tool: Tool) -> str:
    """Return what a user can do instead of building a tool."""
    if tool.own is None:
        return " It needs Go's module proxy (GOPROXY) to be within reach."
    at_least, below = map(programs.written, (tool.own.at_least, tool.own.below))
    return f" Or install {tool.name} {at_least} or newer (below {below}) and put it on PATH."
