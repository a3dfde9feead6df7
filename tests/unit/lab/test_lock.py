import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from console.errors import StepError
from lab.processes import lock

HOLD = """
import sys, time
from lab.processes import lock
with lock.hold(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def name() -> str:
    return f"meshgate-test-{uuid.uuid4()}"


def test_a_second_run_is_told_who_holds_the_lock(name: str) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD, name], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(StepError, match=rf"process {holder.pid} of {Path.cwd()} \(.*python"), lock.hold(name):
            pass
        holder.kill()
    # Gone with its holder, however that ended.
    with lock.hold(name):
        pass


def test_the_lock_is_free_after_the_block(name: str) -> None:
    for _ in range(2):
        with lock.hold(name):
            pass


def test_a_child_does_not_inherit_the_lock(name: str) -> None:
    with lock.hold(name):
        child = subprocess.Popen(["sleep", "60"], close_fds=False)
    try:
        time.sleep(0.05)
        with lock.hold(name):
            pass
    finally:
        child.kill()
        child.wait()
