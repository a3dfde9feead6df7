"""The gateway as one file, for a host without containers: the root file system of its image.

It is what `docker export | gzip` gives of the same image, made from the image's archive alone.
"""

import copy
import gzip
import json
import os
import posixpath
import shutil
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from console.progress import step
from lab import paths
from lab.images import archives, recipes
from lab.tools import cache

FILE = paths.REPOSITORY / "dist" / "meshgate-gateway.tar.gz"
"""Where a playbook looks for it."""

_HIDDEN, _EMPTIED = ".wh.", ".wh..wh..opq"
"""Marks in a layer (OCI image spec): the file of this name is gone; what this directory held is gone."""

Layer = Mapping[str, tarfile.TarInfo]
Merged = dict[str, tuple[int, tarfile.TarInfo]]
"""Each path's layer and entry."""


def ensure() -> Path:
    """Return the artifact of this work tree's gateway, made first if its image has changed.

    Raises StepError when the image cannot be built.
    """
    [image] = archives.ensure([recipes.gateway()])
    kept = paths.cache() / "artifacts" / f"{image.archive.stem}.tar.gz"
    if not kept.exists():
        with step("Pack the gateway for hosts without containers", expected_seconds=10):
            cache.keep(kept, lambda target: pack(image.archive, target))
        cache.drop_oldest(kept.parent.glob("*.tar.gz"), archives.KEPT)
    FILE.parent.mkdir(exist_ok=True)
    draft = FILE.with_suffix(".new")
    shutil.copyfile(kept, draft)
    draft.replace(FILE)
    return FILE


def pack(archive: Path, target: Path) -> None:
    """Write an image's root file system as tar.gz; the same archive (`docker save` format) gives the same bytes."""
    with _layers(archive) as layers, target.open("wb") as file:
        merged = merge([{posixpath.normpath(member.name): member for member in layer} for layer in layers])
        with (
            gzip.GzipFile("", "wb", compresslevel=6, fileobj=file, mtime=0) as packed,
            tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as root,
        ):
            for path, (number, member) in sorted(merged.items()):
                _add(root, path, member, layers[number])


def merge(layers: Iterable[Layer]) -> Merged:
    """Lay layers over each other, the lowest first."""
    merged: Merged = {}
    for number, layer in enumerate(layers):
        for path, member in layer.items():
            directory, name = posixpath.split(path)
            if name == _EMPTIED:
                _remove(merged, directory, itself=False)
            elif name.startswith(_HIDDEN):
                _remove(merged, posixpath.join(directory, name.removeprefix(_HIDDEN)))
            elif not member.isdir():
                _remove(merged, path)
        for path, member in layer.items():
            if not posixpath.basename(path).startswith(_HIDDEN):
                merged[path] = number, member
    return merged


def _remove(merged: Merged, top: str, *, itself: bool = True) -> None:
    """Remove what lies below a path, and the path itself."""
    if itself and (found := merged.pop(top, None)) and not found[1].isdir():
        return
    for path in [path for path in merged if path.startswith(f"{top}/")]:
        del merged[path]


@contextmanager
def _layers(archive: Path) -> Iterator[Sequence[tarfile.TarFile]]:
    """Open the layers of an image's archive, the lowest first."""
    with ExitStack() as opened:
        image = opened.enter_context(tarfile.open(archive))
        [described] = json.load(_content(image, "manifest.json"))
        yield [opened.enter_context(tarfile.open(fileobj=_content(image, name))) for name in described["Layers"]]


def _add(root: tarfile.TarFile, path: str, member: tarfile.TarInfo, layer: tarfile.TarFile) -> None:
    """Add one entry; device nodes are left to the host."""
    if member.isdev():
        return
    entry, content = copy.copy(member), None
    entry.name = path
    if member.isreg() or member.islnk():
        # A hard link's other name may be hidden by a higher layer: each name gets the content.
        content = _content(layer, member)
        entry.type, entry.linkname, entry.size = tarfile.REGTYPE, "", content.seek(0, os.SEEK_END)
        content.seek(0)
    root.addfile(entry, content)


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo | str) -> IO[bytes]:
    """Return a regular file of an archive, opened."""
    content = tar.extractfile(member)
    assert content is not None, "a regular file has content"  # noqa: S101
    return content
