import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.network.sandbox import Sandbox
from tests.deadlines import wait_for


@pytest.fixture
def namespace() -> Iterator[str]:
    name = f"mgtest-{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    yield name
    subprocess.run(["ip", "netns", "delete", name], check=True)


def test_inside_is_apart_from_outside(namespace: str, tmp_path: Path) -> None:
    private, kept = tmp_path / "private", tmp_path / "private" / "kept"
    kept.mkdir(parents=True)
    (private / "before").write_text("seen")
    view = Sandbox(
        network=namespace,
        hostname="inside",
        empty=("/run",),
        private=(str(private),),
        binds=((str(kept), str(kept)), (str(private / "before"), "/run/before")),
        shared=True,
    )
    script = f"""
        test $$ = 1
        test "$(hostname)" = inside
        test ! -e /run/netns
        grep -q seen {private}/before /run/before
        touch {private}/lost {kept}/found
        ip -brief link | wc -l
    """
    done = subprocess.run(view.command(["sh", "-ec", script]), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "1"  # the loopback device alone
    assert (kept / "found").exists()
    assert not (private / "lost").exists()


def test_one_kill_ends_every_process(namespace: str, tmp_path: Path) -> None:
    view = Sandbox(network=namespace, hostname="inside")
    marker = tmp_path / "beat"
    script = f"(while :; do date +%s.%N > {marker}; sleep 0.02; done) & (setsid sleep 60 &) ; wait"
    first = subprocess.Popen(view.command(["sh", "-c", script]))
    wait_for(marker.exists, "the first beat")
    first.kill()
    first.wait()
    time.sleep(0.1)
    beat = marker.read_text()
    time.sleep(0.2)
    assert marker.read_text() == beat
