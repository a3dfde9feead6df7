"""The gateway's artifact: an image's layers laid over each other, as a container sees them."""

import hashlib
import io
import json
import struct
import tarfile
from pathlib import Path

import pytest

from lab import paths
from lab.images import buildah

Layer = list[tuple[tarfile.TarInfo, bytes]]


def file(name: str, content: str | bytes = b"") -> tuple[tarfile.TarInfo, bytes]:
    member, held = tarfile.TarInfo(name), content.encode() if isinstance(content, str) else content
    member.size = len(held)
    return member, held


def special(name: str, kind: bytes, target: str = "") -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.type, member.linkname, member.mode = kind, target, 0o750
    return member, b""


def directory(name: str) -> tuple[tarfile.TarInfo, bytes]:
    return special(name, tarfile.DIRTYPE)


def tar(members: Layer) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as archive:
        for member, content in members:
            archive.addfile(member, io.BytesIO(content))
    return written.getvalue()


@pytest.fixture(autouse=True)
def storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """buildah's storage, a new one for each test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(paths, "RUN", tmp_path / "run")


def packed(place: Path, *layers: Layer) -> Path:
    """The artifact of an image with these layers."""
    blobs = [tar(members) for members in layers]
    diff_ids = [f"sha256:{hashlib.sha256(blob).hexdigest()}" for blob in blobs]
    described = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids}}
    files = {"config.json": json.dumps(described).encode()}
    files |= {f"{number}.tar": blob for number, blob in enumerate(blobs)}
    manifest = [{"Config": "config.json", "RepoTags": ["meshgate/gateway:test"], "Layers": [*files][1:]}]
    files["manifest.json"] = json.dumps(manifest).encode()
    (place / "image.tar").write_bytes(tar([file(name, content) for name, content in files.items()]))
    with buildah.session() as builder:
        builder.pack(place / "image.tar", place / "root.tar.gz")
    return place / "root.tar.gz"


def contents(archive: Path) -> dict[str, str]:
    """What each path of an artifact holds; of what is no file, its kind."""
    found = {}
    with tarfile.open(archive) as root:
        for member in root:
            content = root.extractfile(member) if member.isreg() else None
            found[member.name] = content.read().decode() if content else member.type.decode()
    return found


def test_a_higher_layers_file_hides_a_lower_ones(tmp_path: Path) -> None:
    assert contents(packed(tmp_path, [file("a", "old"), file("b", "kept")], [file("a", "new")])) == {
        "a": "new",
        "b": "kept",
    }


def test_what_a_layer_removed_is_gone_with_all_below(tmp_path: Path) -> None:
    lower = [directory("lists"), file("lists/one"), directory("lists/deep"), file("lists/deep/two"), file("lists-kept")]
    assert list(contents(packed(tmp_path, lower, [file(".wh.lists")]))) == ["lists-kept"]


def test_a_directory_that_a_layer_emptied_holds_what_that_layer_put_there(tmp_path: Path) -> None:
    lower, upper = [directory("d"), file("d/old")], [directory("d"), file("d/.wh..wh..opq"), file("d/new")]
    assert list(contents(packed(tmp_path, lower, upper))) == ["d", "d/new"]


def test_what_was_removed_may_come_again(tmp_path: Path) -> None:
    assert contents(packed(tmp_path, [file("a", "1")], [file(".wh.a")], [file("a", "3")])) == {"a": "3"}


def test_a_link_in_place_of_a_directory_leaves_nothing_below_it(tmp_path: Path) -> None:
    upper = [special("d", tarfile.SYMTYPE, "elsewhere")]
    assert contents(packed(tmp_path, [directory("d"), file("d/old")], upper)) == {"d": tarfile.SYMTYPE.decode()}


def test_both_names_of_a_hard_link_keep_the_content_that_they_had(tmp_path: Path) -> None:
    lower = [file("first", "shared"), special("second", tarfile.LNKTYPE, "first")]
    assert contents(packed(tmp_path, lower, [file("first", "new")])) == {"first": "new", "second": "shared"}


def test_directories_come_before_what_they_hold_and_devices_are_left_out(tmp_path: Path) -> None:
    members = [file("./b/file"), directory("./b"), special("./dev-null", tarfile.CHRTYPE), directory("./a")]
    assert list(contents(packed(tmp_path, members))) == ["a", "b", "b/file"]


def test_owner_mode_and_time_are_kept(tmp_path: Path) -> None:
    member, content = file("tool", "#!")
    member.mode, member.uid, member.gid, member.mtime = 0o4755, 7, 8, 9
    with tarfile.open(packed(tmp_path, [(member, content)])) as root:
        [kept] = root.getmembers()
    assert (kept.mode, kept.uid, kept.gid, kept.mtime) == (0o4755, 7, 8, 9)


def test_a_files_capabilities_are_kept(tmp_path: Path) -> None:
    member, content = file("ping", "#!")
    # CAP_NET_RAW, permitted and effective (linux/capability.h: vfs_cap_data, revision 2).
    capability = struct.pack("<5I", 0x02000001, 1 << 13, 0, 0, 0).decode()
    member.pax_headers = {"SCHILY.xattr.security.capability": capability}
    with tarfile.open(packed(tmp_path, [(member, content)])) as root:
        [kept] = root.getmembers()
    assert kept.pax_headers["SCHILY.xattr.security.capability"] == capability


def test_the_same_image_gives_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layers = [[directory("d"), file("d/b", "1"), file("a")], [file("c")]]
    made = []
    for place in (tmp_path / "one", tmp_path / "two"):
        place.mkdir()
        monkeypatch.setenv("XDG_CACHE_HOME", str(place / "cache"))
        made.append(packed(place, *layers).read_bytes())
    assert made[0] == made[1]
