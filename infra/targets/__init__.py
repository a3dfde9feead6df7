"""Where a gateway runs, one module each: a pod that the stack declares, or a machine that a playbook converges."""

from collections.abc import Callable, Mapping

from pulumi import ResourceOptions

from infra.components.stack_cluster import StackCluster
from infra.settings.gateway import GatewaySettings
from infra.settings.stack import StackSettings
from infra.targets.machine import Machine
from infra.targets.pod import Pod
from infra.targets.target import Target

TARGETS: Mapping[str, Callable[[StackCluster, StackSettings, GatewaySettings, ResourceOptions], Target]] = {
    "kubernetes": Pod,
    "metal": Machine,
}
"""By the setting `target`."""
