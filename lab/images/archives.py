"""The images that the lab makes, as archives in the cache."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from console.progress import step
from lab import paths
from lab.images import buildah, recipes
from lab.tools import cache

KEPT = 2
"""Archives of the same image: of this work tree's state, and of the one before or of another clone's."""


@dataclass(frozen=True)
class Image:
    """An image: its name, its name with tag as a pod spec gives it, and its archive (`docker save` format)."""

    name: str
    reference: str
    archive: Path


def ensure(wanted: Sequence[recipes.Recipe]) -> list[Image]:
    """Return images by their recipes, after building those whose inputs changed.

    Raises StepError, with the build's log, when one cannot be built.
    """
    if absent := [recipe for recipe in wanted if not _archive(recipe).exists()]:
        with buildah.session() as builder:
            for recipe in absent:
                _build(recipe, builder)
                with step(f"Save the image {recipe.reference} for the cluster"):
                    archive = cache.keep(_archive(recipe), functools.partial(builder.save, recipe.reference))
                cache.drop_oldest(archive.parent.glob("*.tar"), KEPT)
    return [Image(recipe.name, recipe.reference, _archive(recipe)) for recipe in wanted]


def kept() -> set[str]:
    """Return the keys of all archives in the cache."""
    return {archive.stem for archive in (paths.cache() / "images").rglob("*.tar")}


def cold_seconds() -> int:
    """Return about how long the images will take on 2 cores, when none was ever made; 0 when some were."""
    return 0 if kept() else recipes.COLD_SECONDS


def _archive(recipe: recipes.Recipe) -> Path:
    """Return an image's file in the cache, whether or not it is there."""
    return paths.cache() / "images" / recipe.name / f"{recipe.key}.tar"


def _build(recipe: recipes.Recipe, builder: buildah.Builder) -> None:
    """Have an image, and all that it starts from, in buildah's storage under their real names."""
    for base in recipe.bases:
        _build(base, builder)
    if builder.find(recipe.keyed_reference) is None:
        log = paths.cache() / "logs" / f"image-{recipe.name.replace('/', '-')}.log"
        with step(f"Build the image {recipe.reference}", recipe.seconds):
            builder.build(recipe.keyed_reference, recipe.context, recipe.dockerfile, recipe.parts, log)
    builder.tag(recipe.keyed_reference, recipe.reference)
