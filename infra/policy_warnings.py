"""Warns, in the preview, when the mesh's policy shuts a gateway out: its tunnels would come up and lead nowhere.

A policy that the stack declares is judged each time. The server's own is read when a gateway is new or changes in the
mesh, such as by other tags: a preview without changes asks for nothing. `make verify` asks at any time.
"""

from collections.abc import Callable, Iterable
from functools import cache
from threading import Lock

import pulumi

from gateway.headscale import policy as policies
from gateway.headscale import policy_reach
from gateway.headscale.errors import HeadscaleError
from infra.hook_threads import in_thread
from infra.kubernetes.client import ClusterError
from infra.resources.connections import Connections, ConnectionsError
from infra.settings.stack import StackSettings

Judge = Callable[[policy_reach.GatewayNode], list[str]]
"""What is wrong with a policy for a gateway, one sentence each."""


def warn(settings: StackSettings, user: str) -> pulumi.ResourceHookBinding | None:
    """Warn of a declared policy. Where there is none: hooks for gateways' exit nodes, which warn of the server's."""
    server = settings.headscale
    if server is None:
        return None
    nodes = {
        gateway.hostname: policy_reach.GatewayNode(
            gateway.hostname, user, gateway.tags, adopted=server.user is not None
        )
        for gateway in settings.gateways
        if gateway.mesh
    }
    if server.policy is None:
        return _hooks(nodes, of_server(lambda: Connections(lambda: settings)))
    policy = policies.read(server.policy)
    for node in nodes.values():
        _say(policy_reach.complaints(policy, node, tags_need_owners=True))
    return None


def of_server(connect: Callable[[], Connections]) -> Judge:
    """By the server's policy, which is read once. Where that cannot be read, nothing is wrong."""

    @cache
    def read() -> tuple[policies.Policy, bool] | None:
        try:
            with connect() as connections, connections.headscale() as headscale:
                if policy := policies.of_server(headscale):
                    # A node's tags are the policy's since the version that deletes keys, too.
                    return policy, headscale.deletes_pre_auth_keys
        except (HeadscaleError, ClusterError, ConnectionsError):
            pass  # what is wrong with the server is said by whatever needs it
        return None

    one_at_a_time = Lock()

    def judge(node: policy_reach.GatewayNode) -> list[str]:
        with one_at_a_time:
            found = read()
        return list(policy_reach.complaints(found[0], node, tags_need_owners=found[1])) if found else []

    return judge


def _hooks(nodes: dict[str, policy_reach.GatewayNode], judge: Judge) -> pulumi.ResourceHookBinding:
    async def look(args: pulumi.ResourceHookArgs) -> None:
        if args.new_inputs and (node := nodes.get(args.new_inputs["hostname"])):
            _say(await in_thread(judge, node))

    hook = pulumi.ResourceHook("policy", look, pulumi.ResourceHookOptions(on_dry_run=True))
    return pulumi.ResourceHookBinding(before_create=[hook], before_update=[hook])


def _say(sentences: Iterable[str]) -> None:
    for sentence in sentences:
        pulumi.log.warn(sentence)
