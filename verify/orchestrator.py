"""The orchestrator's env: what an app is answered comes from it."""

from collections.abc import Iterator, Mapping
from typing import Any

from infra.settings.orchestrator import OrchestratorSettings
from verify.parts import Part, judged
from verify.stack import RunningStack

PUBLIC_KEY, ENDPOINT = "HEADSCALE_SERVER_PUBLIC_KEY", "HEADSCALE_SERVER_ENDPOINT"
_REMEDY = "run `pulumi up --refresh`"


def parts(stack: RunningStack, settings: OrchestratorSettings) -> Iterator[Part]:
    """Whether the container's env says what the stack's outputs say."""
    yield judged(f"env of {settings.namespace}/{settings.deployment}", lambda: _env(stack, settings))


def _env(stack: RunningStack, settings: OrchestratorSettings) -> str:
    found = stack.connections.cluster.deployment(settings.namespace, settings.deployment)
    if found is None:
        return "the Deployment is not there: install the orchestrator, or name another in `orchestrator`"
    containers = found["spec"]["template"]["spec"]["containers"]
    container = next((one for one in containers if settings.container in {None, one["name"]}), None)
    if container is None:
        return f"it has no container {settings.container}: name another in `orchestrator.container`"
    env = {one["name"]: one.get("value") for one in container.get("env", [])}
    wanted = _wanted(stack)
    if missing := sorted(wanted.keys() - env.keys()):
        return f"it lacks {', '.join(missing)}: {_REMEDY}"
    if others := sorted(name for name, value in wanted.items() if value is not None and env[name] != value):
        return f"{', '.join(others)} is not what the stack's outputs say: {_REMEDY}"
    return ""


def _wanted(stack: RunningStack) -> Mapping[str, Any]:
    """Names, with their values where the stack's outputs tell them."""
    wanted: dict[str, Any] = {}
    chosen = stack.settings.orchestrator and stack.settings.orchestrator.gateway
    for gateway in stack.settings.gateways:
        if gateway.name == (chosen or stack.settings.gateways[0].name) and gateway.target == "kubernetes":
            outputs = stack.outputs_of(gateway)
            told = {PUBLIC_KEY: outputs.get("server_public_key"), ENDPOINT: outputs.get("server_endpoint")}
            wanted |= {name: value for name, value in told.items() if value}
            wanted |= {"GATEWAY_PEERS_URL": outputs["peers_url"], "GATEWAY_PEERS_TOKEN": None}
    if stack.settings.access:
        wanted |= {"MESH_LOGIN_SERVER": stack.outputs["login_server"], "MESH_KEYS_URL": stack.outputs["keys_url"]}
        wanted |= {"MESH_KEYS_TOKEN": None}
    return wanted
