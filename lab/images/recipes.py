"""How each image of the lab is made: its Dockerfile, what goes in, and what it starts from.

The project's own are built from the very Dockerfiles that users build. The public images that
those start from, or that run beside them, are stand-ins made here under their real names, because
the lab reaches no registry.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from console.progress import step
from lab import paths
from lab.images import debian_root
from lab.tools import cache, go_builds, go_toolchain, pinned_tools

_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
"""The CAs that this machine trusts, in one file."""

COLD_SECONDS = 120
"""How long it takes about to make all images from nothing but the tools, on 2 cores."""


@dataclass(frozen=True)
class Recipe:
    """How one image is made.

    `context` is the directory that is sent to the build, `parts` are further directories by name;
    `inputs` is what counts of both for the hash. `bases` are the images the Dockerfile starts
    from. Without a `version` the tag is the start of the hash. `seconds` is the time of a cold build
    on 2 cores, of one that takes long.
    """

    name: str
    dockerfile: Path
    context: Path
    inputs: tuple[str | Path, ...]
    version: str = ""
    bases: tuple["Recipe", ...] = ()
    parts: Mapping[str, Path] = field(default_factory=dict)
    seconds: int | None = None

    @cached_property
    def key(self) -> str:
        """The hash of all inputs."""
        return cache.fingerprint(
            self.name, self.version, self.dockerfile, *self.inputs, *(base.key for base in self.bases)
        )

    @property
    def reference(self) -> str:
        """The image's name with the tag that Dockerfiles and pod specs use."""
        return f"{self.name}:{self.version}" if self.version else self.keyed_reference

    @property
    def keyed_reference(self) -> str:
        """The image's name with a tag that no other content has."""
        return f"{self.name}:{self.key[:12]}"


def without_tools() -> list[Recipe]:
    """Return the recipes of the cluster's images that hold none of the lab's tools.

    The file systems that go into them are made on the way. Raises StepError when one cannot.
    """
    orchestrator = paths.REPOSITORY / "examples" / "orchestrator"
    base = _debian()
    return [_pause(base), gateway(), _own("meshgate/orchestrator", orchestrator, base, seconds=30)]


def with_tools() -> list[Recipe]:
    """Return the recipes of the cluster's other images, whose tools are built on the way."""
    return [_tailscale(_debian()), headscale(pinned_tools.HEADSCALE)]


def gateway() -> Recipe:
    """Return the recipe of the gateway's image."""
    base = _debian()
    return _own("meshgate/gateway", paths.REPOSITORY / "gateway", base, _golang(base), seconds=55)


def _own(name: str, directory: Path, *bases: Recipe, seconds: int) -> Recipe:
    """An image of the project: everything in its directory counts."""
    return Recipe(name, directory / "Dockerfile", directory, inputs=(directory,), bases=bases, seconds=seconds)


def _stand_in(
    name: str,
    version: str,
    *,
    inputs: tuple[str | Path, ...],
    parts: Mapping[str, Path],
    bases: tuple[Recipe, ...] = (),
    context: Path | None = None,
    seconds: int | None = None,
) -> Recipe:
    """A public image made here, from the Dockerfile in the directory that has the image's name."""
    directory = paths.REPOSITORY / "lab" / "dockerfiles" / name.split("/")[0]
    return Recipe(name, directory / "Dockerfile", context or directory, inputs, version, bases, parts, seconds)


def _debian() -> Recipe:
    """The official base image's package set, from the same archive."""
    root = paths.cache() / "rootfs" / cache.fingerprint(debian_root.SUITE, *debian_root.OPTIONS)
    return _stand_in(
        "debian",
        "bookworm-slim",
        inputs=(root.name, _CERTIFICATES),
        parts={"certificates": _CERTIFICATES.parent},
        context=cache.keep(root, _bootstrap),
        seconds=10,
    )


def _bootstrap(directory: Path) -> None:
    """Make a Debian root file system, as the one file rootfs.tar in a new directory."""
    directory.mkdir()
    with step("Make a Debian root file system for the images", expected_seconds=55):
        debian_root.bootstrap(directory / "rootfs.tar")


def _golang(base: Recipe) -> Recipe:
    """The toolchain that also builds the lab's tools."""
    go = go_toolchain.find()
    return _stand_in(
        "golang", "1.26-bookworm", inputs=(go.version,), parts={"goroot": go.root}, bases=(base,), seconds=15
    )


def _pause(base: Recipe) -> Recipe:
    """What holds a pod's namespaces; of no version but its content's."""
    return _stand_in("pause", "", inputs=(), parts={}, bases=(base,))


def headscale(tool: pinned_tools.Tool) -> Recipe:
    """Return the recipe of Headscale's server, of the version that `tool` is."""
    directory = go_builds.for_image(tool).parent
    return _stand_in(
        "headscale/headscale",
        tool.version,
        inputs=(directory.name, _CERTIFICATES),
        parts={"headscale": directory, "certificates": _CERTIFICATES.parent},
    )


def _tailscale(base: Recipe) -> Recipe:
    """The mesh node that runs in a gateway's pod: of one binary that is daemon and client, as nobody installs it."""
    parts = {tool.name: go_builds.build(tool).parent for tool in (pinned_tools.TAILSCALED, pinned_tools.CONTAINERBOOT)}
    return _stand_in(
        "tailscale/tailscale",
        f"v{pinned_tools.TAILSCALED.version}",
        inputs=tuple(directory.name for directory in parts.values()),
        parts=parts,
        bases=(base,),
        seconds=10,
    )
