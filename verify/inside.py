"""What runs in the cluster: a Deployment, and what its own program says, asked from within its pod."""

import json
from dataclasses import dataclass
from typing import Any

from console.errors import StepError
from infra import gateway_programs
from infra.kubernetes import rollout
from infra.kubernetes.client import KubernetesClient

_ASK = """
import json, sys, urllib.error, urllib.request
method, port, path, body = sys.argv[1:]
headers = {"Content-Type": "application/json"}
if path.startswith("/v1/"):
    token = next(line.split()[1] for line in open("/etc/meshgate/tokens") if line.startswith("admin"))
    headers["Authorization"] = "Bearer " + token
request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", body.encode() or None, headers, method=method)
try:
    answer = urllib.request.urlopen(request, timeout=5)
except urllib.error.HTTPError as error:
    answer = error
print(json.dumps([answer.status, json.loads(answer.read() or "{}")]))
"""
"""It runs where the token is, which only the API is told: no token leaves the pod."""


@dataclass(frozen=True)
class Program:
    """A program of ours in a container of a Deployment."""

    cluster: KubernetesClient
    namespace: str
    deployment: str
    container: str

    def rolled_out(self) -> str:
        """Why the Deployment does not run what was asked for; empty if it does."""
        return rollout.explain(self.cluster, self.namespace, self.deployment)

    def ready(self) -> str:
        """What the program itself says against being ready; empty if nothing."""
        status, said = self._ask("GET", gateway_programs.PROBE_PORT, "/readyz")
        return "" if status == 200 else str(said.get("detail", f"/readyz answers {status}"))

    def call(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        """What its API answers; StepError if it refuses."""
        status, said = self._ask(method, gateway_programs.HTTP_PORT, path, body)
        if status >= 400:
            raise StepError(f"{self.container} refuses {method} {path} ({status}): {said.get('detail')}")
        return said

    def _ask(self, method: str, port: int, path: str, body: object = None) -> tuple[int, dict[str, Any]]:
        told = json.dumps(body) if body is not None else ""
        command = ["python3", "-c", _ASK, method, str(port), path, told]
        printed = self.cluster.execute(self.namespace, self.deployment, command, self.container)
        status, said = json.loads(printed)
        return status, said
