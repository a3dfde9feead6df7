"""Strangers at the peer API of a real agent: they are many, and nobody who has the token notices."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.contract.agent.namespaces import in_namespace
from tests.contract.agent.world import FAR_4, HTTP_PORT, LAN_GATEWAY, Client, World
from tests.unit.agent.fakes import key_pair

PROGRAM = str(Path(__file__).with_name("flood.py"))
SILENT = 5000


@contextlib.contextmanager
def strangers(world: World, kind: str, number: int, port: int = HTTP_PORT) -> Iterator[dict[str, int]]:
    """Let flood.py run beside the gateway, from another address; afterwards what it was answered."""
    command = [*world.client.inside, sys.executable, PROGRAM, kind, LAN_GATEWAY, str(port), str(number)]
    answers: dict[str, int] = {}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline(), "flood.py has not begun"
            yield answers
            process.terminate()
            answers |= json.loads(process.stdout.readline())
        finally:
            process.kill()


def test_five_thousand_silent_connections_change_nothing(world: World) -> None:
    with world.http() as pooled, strangers(world, "silence", SILENT) as connections, in_namespace(world.gateway.name):
        for _ in range(5):
            key = key_pair().public
            assert pooled.post("/v1/peers", json={"public_key": key}).status_code == 201
            assert world.call("DELETE", f"/v1/peers/{key.replace('/', '_')}").status_code == 204
            assert world.probe("/healthz").status_code == 200
            world.wait_until_ready()
    assert connections["ended"] >= SILENT - 128


def test_devices_are_let_in_and_shut_out_at_once_during_a_flood(world: World, client: Client) -> None:
    assert client.reaches(FAR_4)
    with strangers(world, "requests", 500) as answers:
        assert world.readiness()[0] == 200
        assert world.call("DELETE", f"/v1/peers/{client.keys.public}").status_code == 204
        assert not client.reaches(FAR_4, within_s=1)
        with world.new_client(world.neighbour) as other:
            other.configure(world.register(other.keys.public))
            assert other.reaches(FAR_4)
    assert answers["429"] > answers["401"], answers
    assert set(answers) <= {"400", "401", "429", "0"}
