"""Images: their names, what makes one a different image, and what is kept of them."""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab import paths
from lab.images import archives, buildah, recipes
from lab.images.recipes import Recipe


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    (tmp_path / "Dockerfile").write_text("FROM base:1\n")
    (tmp_path / "app.py").write_text("print(1)\n")
    base = Recipe("base", tmp_path / "Dockerfile", tmp_path, inputs=("first",), version="1")
    return Recipe("meshgate/app", tmp_path / "Dockerfile", tmp_path, inputs=(tmp_path,), bases=(base,))


def test_an_own_image_is_tagged_with_the_start_of_its_hash(recipe: Recipe) -> None:
    assert recipe.reference == f"meshgate/app:{recipe.key[:12]}"


def test_a_stand_in_has_the_public_tag_and_one_of_its_own(recipe: Recipe) -> None:
    stand_in = dataclasses.replace(recipe, name="tailscale/tailscale", version="v1.102.3")
    assert stand_in.reference == "tailscale/tailscale:v1.102.3"
    assert stand_in.keyed_reference == f"tailscale/tailscale:{stand_in.key[:12]}"


def test_a_changed_file_makes_another_image(recipe: Recipe) -> None:
    before = recipe.key
    (recipe.context / "app.py").write_text("print(2)\n")
    assert dataclasses.replace(recipe).key != before


def test_a_changed_base_makes_another_image(recipe: Recipe) -> None:
    other = dataclasses.replace(recipe.bases[0], inputs=("second",))
    assert dataclasses.replace(recipe, bases=(other,)).key != recipe.key


def test_the_same_files_elsewhere_make_the_same_image(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> None:
    clone = tmp_path_factory.mktemp("clone")
    for file in recipe.context.iterdir():
        (clone / file.name).write_bytes(file.read_bytes())
    again = dataclasses.replace(recipe, dockerfile=clone / "Dockerfile", context=clone, inputs=(clone,))
    assert again.key == recipe.key


class InstantBuilder:
    """A builder whose images are there at once."""

    def find(self, reference: str) -> str:
        return reference

    def tag(self, reference: str, alias: str) -> None:
        pass

    def save(self, reference: str, archive: Path) -> None:
        archive.write_text(reference)


@contextmanager
def instantly() -> Iterator[InstantBuilder]:
    yield InstantBuilder()


def test_of_an_image_that_changes_again_and_again_two_archives_stay(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(buildah, "session", instantly)
    other = dataclasses.replace(recipe, name="meshgate/other")
    assert archives.cold_seconds() == recipes.COLD_SECONDS
    for version in ("1", "2", "3", "4"):
        changed = dataclasses.replace(recipe, version=version)
        for image in archives.ensure([changed, other]):
            assert image.archive.read_text() == image.reference
    kept = sorted(file.read_text() for file in (paths.cache() / "images").rglob("*.tar"))
    assert kept == ["meshgate/app:3", "meshgate/app:4", other.reference]
    assert archives.cold_seconds() == 0


def test_buildahs_notes_go_and_a_users_own_images_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notes = tmp_path / "containers" / "cache" / "blob-info-cache-v1.boltdb"
    monkeypatch.setattr(buildah, "_CONTAINERS", tmp_path / "containers")
    (tmp_path / "containers" / "storage").mkdir(parents=True)
    notes.parent.mkdir()
    notes.touch()
    buildah.remove_traces()
    assert notes.exists()
    (tmp_path / "containers" / "storage").rmdir()
    for _ in range(2):
        buildah.remove_traces()
        assert not (tmp_path / "containers").exists()
