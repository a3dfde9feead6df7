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
from pathlib import Path

from console import environment, programs, pulumi_cli
from console.errors import StepError
from console.progress import console, step
from console.run import run
from lab import paths
from lab.tools import cache, go_toolchain, static_elf
from lab.tools.pinned_tools import Tool


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
        **go_toolchain.config_directory(),
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
