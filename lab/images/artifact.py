"""The gateway as one file, for a host without containers: the root file system of its image.

It is what `docker export | gzip` gives of the same image, made from the image's archive alone.
"""

import functools
import shutil
from pathlib import Path

from console.progress import step
from lab import paths
from lab.images import archives, buildah, recipes
from lab.tools import cache

FILE = paths.REPOSITORY / "dist" / "meshgate-gateway.tar.gz"
"""Where a playbook looks for it."""


def ensure() -> Path:
    """Return the artifact of this work tree's gateway, made first if its image has changed.

    Raises StepError when the image cannot be built.
    """
    [image] = archives.ensure([recipes.gateway()])
    kept = paths.cache() / "artifacts" / f"{image.archive.stem}.tar.gz"
    if not kept.exists():
        with step("Pack the gateway for hosts without containers", expected_seconds=10), buildah.session() as builder:
            cache.keep(kept, functools.partial(builder.pack, image.archive))
        cache.drop_oldest(kept.parent.glob("*.tar.gz"), archives.KEPT)
    FILE.parent.mkdir(exist_ok=True)
    draft = FILE.with_suffix(".new")
    shutil.copyfile(kept, draft)
    draft.replace(FILE)
    return FILE
