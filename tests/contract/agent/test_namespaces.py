"""What a test run leaves when it is killed."""

import signal
import subprocess
import sys
from pathlib import Path

from tests.contract.agent.namespaces import Namespace, sweep
from tests.deadlines import wait_for

KILLED = """
from tests.contract.agent.namespaces import Namespace
namespace = Namespace("left")
process = namespace.start("sleep", "600")
print(namespace.name, process.pid, flush=True)
input()
"""


def test_the_next_run_removes_it_with_its_processes_and_nothing_of_others() -> None:
    own = Namespace("own")
    command = [sys.executable, "-c", KILLED]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        name, process = run.stdout.readline().split()
        sweep()
        assert Path("/run/netns", name).exists(), "its run lives"
        run.send_signal(signal.SIGKILL)
    sweep()
    assert not Path("/run/netns", name).exists()
    wait_for(lambda: not Path("/proc", process).exists(), "the end of its process")
    assert Path("/run/netns", own.name).exists()
    own.delete()
