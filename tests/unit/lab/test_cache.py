"""The cache: names by content, entries that are whole or not there."""

import os
from pathlib import Path

import pytest

from lab.tools import cache


def a_directory(root: Path, **files: str) -> Path:
    root.mkdir(parents=True)
    for name, text in files.items():
        (root / name).write_text(text)
    return root


def test_same_content_in_another_place_has_the_same_fingerprint(tmp_path: Path) -> None:
    here = a_directory(tmp_path / "here", a="1", b="2")
    there = a_directory(tmp_path / "there", b="2", a="1")
    assert cache.fingerprint("flags", here) == cache.fingerprint("flags", there)


def test_content_names_and_mode_all_count(tmp_path: Path) -> None:
    first = cache.fingerprint(a_directory(tmp_path / "1", a="1"))
    content = cache.fingerprint(a_directory(tmp_path / "2", a="2"))
    name = cache.fingerprint(a_directory(tmp_path / "3", b="1"))
    executable = a_directory(tmp_path / "4", a="1")
    (executable / "a").chmod(0o755)
    assert len({first, content, name, cache.fingerprint(executable)}) == 4


def test_neighbouring_texts_do_not_run_together() -> None:
    assert cache.fingerprint("ab", "c") != cache.fingerprint("a", "bc")


def test_byte_code_does_not_count(tmp_path: Path) -> None:
    directory = a_directory(tmp_path / "package", a="1")
    before = cache.fingerprint(directory)
    a_directory(directory / "__pycache__", compiled="x")
    assert cache.fingerprint(directory) == before


def test_an_entry_is_made_once(tmp_path: Path) -> None:
    made: list[Path] = []

    def make(path: Path) -> None:
        made.append(path)
        path.write_text("built")

    entry = tmp_path / "bin" / "abc"
    assert cache.keep(entry, make).read_text() == "built"
    assert cache.keep(entry, make).read_text() == "built"
    assert len(made) == 1
    assert list(entry.parent.iterdir()) == [entry]


def test_an_interrupted_make_leaves_nothing(tmp_path: Path) -> None:
    def make(path: Path) -> None:
        path.mkdir()
        (path / "half").write_text("ha")
        raise KeyboardInterrupt

    entry = tmp_path / "bin" / "abc"
    with pytest.raises(KeyboardInterrupt):
        cache.keep(entry, make)
    assert list(entry.parent.iterdir()) == []


def test_of_two_makers_at_once_the_first_entry_stays(tmp_path: Path) -> None:
    entry = tmp_path / "abc"

    def make(path: Path) -> None:
        path.mkdir()
        a_directory(entry, winner="1")

    assert (cache.keep(entry, make) / "winner").exists()


def test_the_latest_files_are_kept(tmp_path: Path) -> None:
    for age, name in enumerate(("newest", "newer", "old", "older")):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    cache.drop_oldest(tmp_path.iterdir(), kept=2)
    assert {entry.name for entry in tmp_path.iterdir()} == {"newest", "newer"}
    cache.drop_oldest(tmp_path.iterdir(), kept=2)
    assert len(list(tmp_path.iterdir())) == 2
