"""Commands end by Ctrl-C also where whoever started them ignores it: nohup, `&` in a script, some CI runners."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deadlines import wait_for

REPOSITORY = Path(__file__).parents[3]
IGNORING = ("sh", "-c", """trap '' INT TERM; exec "$@" """, "sh")
PROGRAM = """
import sys
from pathlib import Path
from console.run import run
from lab import cli

@cli.app.command()
def work() -> None:
    script = "trap 'touch finished; exit 0' INT; touch begun; while true; do sleep 0.05; done"
    run(("bash", "-c", script), doing="work", log=Path("log"), cwd=Path("."), finish_seconds=float(sys.argv[0]))

sys.argv = [sys.argv[1], "work"]
cli.main()
"""


@pytest.mark.parametrize("one", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("finish_seconds", ["0", "20"])
def test_a_parent_that_ignores_interrupts_changes_nothing(
    one: signal.Signals, finish_seconds: str, tmp_path: Path
) -> None:
    command = (*IGNORING, sys.executable, "-c", PROGRAM, finish_seconds)
    with subprocess.Popen(
        command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(REPOSITORY)}, stderr=subprocess.PIPE, text=True
    ) as lab:
        wait_for((tmp_path / "begun").exists, "the command's beginning", within=20)
        lab.send_signal(one)
        _, said = lab.communicate(timeout=20)
    assert lab.returncode == 130
    assert "Interrupted." in said
    # Who may finish was told, and heard it.
    assert (tmp_path / "finished").exists() == (finish_seconds != "0")
