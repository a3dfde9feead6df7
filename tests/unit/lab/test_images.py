"""Images: their names, and what makes one a different image."""

import dataclasses
from pathlib import Path

import pytest

from lab.recipes import Recipe


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
