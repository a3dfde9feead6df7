"""A gateway, from its Deployment to what a client finds."""

from collections.abc import Iterator, Mapping
from typing import Any

from gateway.headscale import EXIT_ROUTES, policy_reach
from gateway.headscale import policy as policies
from infra import client_configs
from infra.resources import registered_devices
from infra.settings.gateway import GatewaySettings
from verify import ways_in
from verify.inside import Program
from verify.parts import Part, judged
from verify.stack import RunningStack


def parts(stack: RunningStack, gateway: GatewaySettings) -> Iterator[Part]:
    """A part after the other. A machine is looked at by `playbooks/verify.yml`; here it is what Headscale knows."""
    outputs = stack.outputs_of(gateway)
    agent = None
    if gateway.target == "kubernetes":
        agent = Program(stack.connections.cluster, stack.settings.namespace, gateway.hostname, "agent")
        yield judged(f"Deployment {stack.settings.namespace}/{gateway.hostname}", agent.rolled_out)
        yield judged("readiness", agent.ready)
    if "exit_node" in outputs:
        yield judged("exit node in Headscale", lambda: _exit_node(stack, gateway, outputs["exit_node"]))
        if node_id := outputs["exit_node"]["id"]:
            yield judged("Headscale's policy", lambda: _shut_out(stack, node_id))
    yield from ways_in.parts(gateway, outputs, agent)
    if gateway.previous:
        yield previous_key(stack, gateway)


def previous_key(stack: RunningStack, gateway: GatewaySettings) -> Part:
    """How many devices still use the key before the present one, of a machine as well."""
    part = "the WireGuard key before the present one"
    place = client_configs.asked_at(gateway, stack.settings.namespace)
    counted = registered_devices.counted(stack.connections, {gateway.name: place} if place else {})
    if (of_gateway := counted.get(gateway.name)) and of_gateway.left:
        return Part(part, note=of_gateway.left)
    on = "playbooks/gateway.yml run since `pulumi up`" if gateway.target == "metal" else "`pulumi up` ended well"
    return Part(part, f"the gateway does not tell who still uses it: has {on}, and does it answer from here?")


def _exit_node(stack: RunningStack, gateway: GatewaySettings, known: Mapping[str, Any]) -> str:
    if not known["id"]:
        on = "run playbooks/gateway.yml, then `pulumi up`" if gateway.target == "metal" else "`pulumi up` says why"
        return f"it has not joined yet: {on}"
    with stack.connections.headscale() as headscale:
        node = headscale.node(known["id"])
    if not node.online:
        return f"Headscale does not see node {node.given_name}: its tailscaled is not connected"
    if missing := set(EXIT_ROUTES) - set(node.approved_routes):
        return f"of node {node.given_name} {', '.join(sorted(missing))} is not approved: run `pulumi up --refresh`"
    return ""


def _shut_out(stack: RunningStack, node_id: str) -> str:
    """What the policy lacks for the gateway's node as Headscale has it."""
    with stack.connections.headscale() as headscale:
        if (policy := policies.of_server(headscale)) is None:
            return ""
        node = headscale.node(node_id)
    user = node.user.name if node.user else ""
    return policy_reach.shut_out(policy, policy_reach.GatewayNode(node.given_name, user, node.tags, adopted=True))
