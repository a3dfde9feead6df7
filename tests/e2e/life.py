"""A stack's life as tests drive it: up again after anything, killed anywhere, and looked at when it is whole."""

import os
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from lab import paths
from lab.mesh import june
from lab.pulumi.stack import Stack
from tests.e2e import lab_world


def up(stack: Stack) -> None:
    """What `make up` does, whatever ran before; its pods run when this returns."""
    stack.recover()
    stack.up()
    settle(stack)


def settle(stack: Stack) -> None:
    """Wait for the pods that the stack's last `up` asked for."""
    lab_world.wait_until_rolled_out(stack.settings().get("namespace", lab_world.NAMESPACE))


def make_up() -> str:
    """`make up` as a person runs it, and all that it says."""
    done = subprocess.run(["make", "up"], cwd=paths.REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def make_verify(stack: Stack) -> str:
    """Run `make verify` of a stack, which must find nothing amiss; what it said."""
    done = subprocess.run(
        ["make", "verify", f"STACK={stack.name}", f"CONFIG_FILE={stack.config_file}"],
        cwd=paths.REPOSITORY,
        env={**os.environ, **stack.environment()},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def assert_settled(stack: Stack) -> None:
    """One more look finds nothing to do, in the cluster neither."""
    settle(stack)
    stack.run("preview", "--refresh", "--expect-no-changes")


def assert_whole(stack: Stack) -> None:
    """Everything is there once: node, user, usable keys, env; and the next preview agrees."""
    assert_settled(stack)
    with lab_world.headscale() as headscale:
        gateway = lab_world.node_named(headscale, lab_world.GATEWAY)
        assert gateway.is_exit
        assert stack.outputs()["exit_node"]["id"] == gateway.id
        assert [key.usable for key in headscale.pre_auth_keys(headscale.user("meshgate-lab"))].count(True) == 0
        month = datetime.now(UTC) + timedelta(days=30)
        assert len([key for key in headscale.api_keys() if key.expiration and key.expiration > month]) == 1
    env = lab_world.orchestrator_env()
    assert env["HEADSCALE_SERVER_PUBLIC_KEY"] == stack.outputs()["server_public_key"]
    assert env.keys() >= set(june.VARIABLES)


def destroy(stack: Stack) -> None:
    """Take everything back, if there is anything."""
    stack.recover()
    if stack.outputs():
        stack.run("destroy", "--yes", "--skip-preview")


def kill(stack: Stack, operation: str, when: Callable[[str], bool]) -> bool:
    """SIGKILL to the engine when a line that it prints asks for it; whether one did.

    To the engine alone: its plugins and its program live on, as they do when it crashes.
    """
    command = stack.command(operation, "--yes", "--skip-preview")
    environment = {**os.environ, **stack.environment()}
    with subprocess.Popen(
        command, cwd=paths.REPOSITORY, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        killed = any(map(when, process.stdout))
        process.kill()
    return killed
