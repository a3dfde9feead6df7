"""What a kubelet does with the gateway's pod, as far as an agent notices: environments, files, containers, probes.

Images are this machine's own programs, and a mounted directory is one of the test's own.
"""

import os
import re
import subprocess
import sys
from base64 import b64decode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kubernetes.client import CoreV1Api

from tests.contract.agent.world import ROOT, World

AGENT = ["python3", "-m", "gateway.agent"]
"""The image's entry point (gateway/Dockerfile)."""


class Pod:
    """A pod that the API server keeps, and what Kubernetes knows of the one that runs."""

    def __init__(self, core: CoreV1Api, spec: Any, namespace: str, directory: Path, fields: Mapping[str, str]) -> None:  # noqa: ANN401 (the client has no types)
        self.containers = {container.name: container for container in spec.containers}
        self._directory = directory
        self._fields = fields
        for volume in spec.volumes:
            place = self._place(volume.name)
            place.mkdir(mode=0o700)
            for name, content in _contents(core, volume, namespace).items():
                (place / name).write_text(content)

    @contextmanager
    def running(self, world: World, names: Mapping[str, str], *containers: str) -> Iterator[None]:
        """Run containers in the world's gateway; `names` are settings that the world has its own names for."""
        started = [self._start(container, world, names) for container in containers]
        try:
            yield
        finally:
            for process in started:
                process.terminate()  # it takes along what it runs
            for process in started:
                process.wait(10)

    def _start(self, container: str, world: World, names: Mapping[str, str]) -> subprocess.Popen[bytes]:
        command = self.containers[container].command or AGENT
        environment = {
            **os.environ,
            "PATH": f"{Path(world.wireguard_go).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            **self.environment(container),
            **names,
        }
        return world.gateway.start(sys.executable, *command[1:], env=environment)

    def environment(self, container: str) -> dict[str, str]:
        """What a container is told."""
        environment: dict[str, str] = {}
        for one in self.containers[container].env:
            told = one.value_from and self._fields[one.value_from.field_ref.field_path]
            value = told or re.sub(r"\$\((\w+)\)", lambda name: environment[name[1]], one.value or "")
            environment[one.name] = self._outside(container, value)
        return environment

    def probe(self, kind: str) -> tuple[str, int]:
        """Path and port of a probe of the agent."""
        agent = self.containers["agent"]
        asked = getattr(agent, f"{kind}_probe").http_get
        (port,) = (one.container_port for one in agent.ports if one.name == asked.port)
        return asked.path, port

    def _outside(self, container: str, value: str) -> str:
        """The value with the test's directory in the place of where a volume is mounted."""
        for mount in self.containers[container].volume_mounts:
            if value == mount.mount_path or value.startswith(f"{mount.mount_path}/"):
                return value.replace(mount.mount_path, str(self._place(mount.name)), 1)
        return value

    def _place(self, volume: str) -> Path:
        return self._directory / f"volume-{volume}"


def _contents(core: Any, volume: Any, namespace: str) -> dict[str, str]:  # noqa: ANN401 (the client has no types)
    if volume.secret:
        kept = core.read_namespaced_secret(volume.secret.secret_name, namespace).data
        return {item.path: b64decode(kept[item.key]).decode() for item in volume.secret.items}
    if volume.config_map:
        kept = core.read_namespaced_config_map(volume.config_map.name, namespace).data
        return {item.path: kept[item.key] for item in volume.config_map.items}
    return {}
