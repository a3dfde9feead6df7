"""Put the lab's images into the node's containerd, each archive once."""

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from console.run import capture, run
from lab import paths
from lab.cluster import worker
from lab.images import archives
from lab.images.archives import Image

ARCHIVE_LABEL = "meshgate-lab-archive"
"""Label by which an image tells the archive that it was loaded from (a tag alone can be moved)."""

# The kubelet looks into this namespace of containerd.
_COMMAND = ("ctr", f"--address={worker.CONTAINERD_SOCKET}", "--namespace=k8s.io")

_AT_ONCE = 2
"""An import waits for the disk as much as for a core."""


def load(images: Sequence[Image]) -> list[str]:
    """Import what is not there yet, forget what was replaced; return the references that were imported."""
    absent = [image for image in images if not _names(image, f'labels."{ARCHIVE_LABEL}"=={image.archive.stem}')]
    with ThreadPoolExecutor(_AT_ONCE) as importers:
        list(importers.map(_import, absent))
    _forget_replaced()
    return [image.reference for image in absent]


def _import(image: Image) -> None:
    run(
        [*_COMMAND, "images", "import", image.archive],
        doing=f"load the image {image.reference} into containerd",
        log=paths.LOGS / f"image-{image.name.replace('/', '-')}.log",
    )
    for name in _names(image):
        _ctr("label", name, f"{ARCHIVE_LABEL}={image.archive.stem}")


def _forget_replaced() -> None:
    """Remove the images whose archives the cache has dropped. A container that uses one keeps its files."""
    kept = archives.kept()
    for line in _ctr("list", f'labels."{ARCHIVE_LABEL}"').splitlines():
        label = re.search(f"{ARCHIVE_LABEL}=([0-9a-f]+)", line)
        if label and label[1] not in kept:
            _ctr("remove", line.split()[0])


def _names(image: Image, *conditions: str) -> list[str]:
    """Return containerd's names (with a registry in front) of an image that meets the conditions."""
    # Filters are regular expressions in quotes, in which a backslash is itself escaped.
    pattern = re.escape(image.reference).replace("\\", "\\\\")
    return _ctr("list", "--quiet", ",".join((f'name~="/{pattern}$"', *conditions))).split()


def _ctr(*arguments: str) -> str:
    return capture([*_COMMAND, "images", *arguments], doing="ask the lab's containerd for its images")
