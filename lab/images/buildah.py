"""Build images from Dockerfiles with buildah, in a storage of the lab's own and without a registry."""

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from console import environment
from console.errors import StepError
from console.run import capture, run
from lab import paths
from lab.processes import lock

_CONTAINERS = Path("/var/lib/containers")
"""Where root's own images lie by default; buildah keeps notes about blobs there wherever its storage is."""

_PACK = r"""
archive=$1 target=$2 buildah=("${@:3}")
container=$("${buildah[@]}" from --quiet "docker-archive:$archive")
cd "$("${buildah[@]}" mount "$container")"
find . -mindepth 1 ! -type b ! -type c -printf '%P\0' | LC_ALL=C sort --zero-terminated |
  tar --create --no-recursion --null --files-from=- --numeric-owner --hard-dereference \
    --xattrs --xattrs-include='*' --format=pax \
    --pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime |
  gzip --no-name > "$target"
cd /
"${buildah[@]}" rm "$container"
"""
"""Mount an archive's image and pack what is there: sorted, without times of this moment, without device nodes.

Each name of a hard link gets the content. One shell does it all, as the mount ends with it.
"""


@dataclass(frozen=True)
class Builder:
    """buildah with the options that say where its storage is."""

    command: tuple[str | Path, ...]

    def remove_containers(self) -> None:
        """Drop the working containers of builds that were interrupted."""
        self._ask("rm", "--all", doing="clean up after an interrupted image build")

    def find(self, reference: str) -> str | None:
        """Return the id of the storage's image of this name, or None when there is none."""
        listing = self._ask(
            "images", "--no-trunc", "--format", "{{.Name}}:{{.Tag}} {{.ID}}", doing="list the images in the storage"
        )
        ids = dict(line.split() for line in listing.splitlines())
        found = ids.get(f"localhost/{reference}")
        return found.removeprefix("sha256:") if found else None

    def tag(self, reference: str, alias: str) -> None:
        """Give an image of the storage one more name."""
        self._ask("tag", reference, alias, doing=f"tag the image {reference}")

    def build(self, reference: str, context: Path, dockerfile: Path, parts: Mapping[str, Path], log: Path) -> None:
        """Build a Dockerfile; `parts` are the named contexts of its `COPY --from=NAME`.

        Steps that an earlier build made from the same input are taken from the storage.
        """
        named = [f"--build-context={name}={directory}" for name, directory in parts.items()]
        options = ("--isolation=chroot", "--network=host", "--pull=never", "--layers")
        run(
            (*self.command, "bud", *options, *named, "--tag", reference, "--file", dockerfile, context),
            doing=f"build the image {reference}",
            log=log,
            base=environment.downloading(),
            contained=True,
        )

    def save(self, reference: str, archive: Path) -> None:
        """Write an image to an archive as `docker save` does."""
        # By its id, as under its name the archive would also hold `localhost/NAME`.
        source = self.find(reference) or reference
        self._ask(
            "push", "--quiet", source, f"docker-archive:{archive}:{reference}", doing=f"save the image {reference}"
        )

    def pack(self, archive: Path, target: Path) -> None:
        """Write the root file system of an image's archive as tar.gz; the same archive gives the same bytes."""
        capture(
            ("bash", "-euo", "pipefail", "-c", _PACK, "pack", archive, target, *self.command),
            doing=f"pack the image in {archive.name}",
            contained=True,
        )

    def _ask(self, *arguments: str, doing: str) -> str:
        """Run one short buildah command."""
        return capture((*self.command, *arguments), doing=doing, contained=True)


@contextmanager
def session() -> Iterator[Builder]:
    """Give a builder whose mounts and processes end with it, however it ends; one session at a time.

    The storage stays for the next session. The run root, which counts its mounts, does not: every command
    has a mount namespace of its own. Neither does what buildah writes elsewhere.
    """
    storage = paths.cache() / "buildah"
    for directory in (storage, paths.RUN):
        directory.mkdir(parents=True, exist_ok=True)
    with (
        lock.one_at_a_time(storage / "lock"),
        tempfile.TemporaryDirectory(prefix="buildah-", dir=paths.RUN) as run_root,
    ):
        command = ("buildah", "--runroot", run_root)
        overlay, copies = (
            Builder((*command, "--root", storage / driver, "--storage-driver", driver)) for driver in ("overlay", "vfs")
        )
        try:
            overlay.remove_containers()
        except StepError:  # the cache lies on a file system that overlayfs cannot use
            copies.remove_containers()
            yield copies
        else:
            yield overlay
        finally:
            remove_traces()


def remove_traces() -> None:
    """Remove what buildah wrote outside of its storage; a user's own images and notes stay."""
    if _CONTAINERS.is_dir() and {entry.name for entry in _CONTAINERS.iterdir()} <= {"cache"}:
        shutil.rmtree(_CONTAINERS)
