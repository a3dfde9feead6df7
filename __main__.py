"""Meshgate's program: what a stack declares, top-down as in the picture of the README."""

import gc

gc.set_threshold(100_000)  # what imports make stays: looking through it every 700 objects takes a fifth of their time

import pulumi

from infra import api_key_end
from infra.access.gateway import Gateway
from infra.access.mesh import MeshAccess
from infra.components.headscale_server import HeadscaleServer
from infra.components.orchestrator_env import OrchestratorEnv
from infra.components.stack_cluster import StackCluster
from infra.policy_warnings import warn
from infra.protection import protect
from infra.pulumi_config import stack_settings
from infra.resources.certificate_authority import CertificateAuthority
from infra.resources.client_configs import ClientConfigs
from infra.resources.policy import HeadscalePolicy
from infra.resources.user import HeadscaleUser
from infra.resources.verdict import Verdict

settings = stack_settings()
if settings.protect:
    protect()

cluster = StackCluster(settings)
headscale = settings.headscale
api_key_end.warn(settings)
server = (
    [HeadscaleServer(cluster, headscale, settings.headscale_ingress_key)] if headscale and headscale.managed else []
)
policy = []
if headscale and headscale.policy:
    policy = [HeadscalePolicy("policy", policy=headscale.policy, opts=pulumi.ResourceOptions(depends_on=server))]
user = joining = None
if headscale and any(gateway.mesh for gateway in settings.gateways):
    name = headscale.user or f"meshgate-{pulumi.get_stack()}"
    user = HeadscaleUser(
        "user",
        server=headscale.url,
        user=name,
        stack_id=cluster.stack_id,
        opts=pulumi.ResourceOptions(depends_on=[*server, *policy]),
    )
    joining = warn(settings, name)
authority = None
if any(gateway.has_certificates for gateway in settings.gateways):
    authority = CertificateAuthority("ca", common_name=f"Meshgate {pulumi.get_stack()}"[:64])
gateways = {
    gateway.name: Gateway(cluster, settings, gateway, user, authority, joining) for gateway in settings.gateways
}
ClientConfigs(
    "client-configs",
    gateways={name: gateway.client_configs for name, gateway in gateways.items()},
    headscale_url=headscale.url if headscale else None,
    protect=bool(settings.protect),
)
mesh = MeshAccess(cluster, settings, headscale, server) if headscale and "mesh" in settings.access else None
env = []
if settings.orchestrator:
    known = {name: gateway.access for name, gateway in gateways.items()}
    env = [OrchestratorEnv(cluster, settings.orchestrator, known, mesh.keys if mesh else None)]
if whys := [why for gateway in gateways.values() for why in gateway.whys]:
    Verdict("gateways", whys=whys, opts=pulumi.ResourceOptions(depends_on=env))

for way in (*list(gateways.values())[:1], *([mesh] if mesh else [])):
    for name, value in way.outputs.items():
        pulumi.export(name, value)
if len(gateways) > 1:
    pulumi.export("gateways", {name: gateway.outputs for name, gateway in gateways.items()})
if machines := {name: gateway.handover for name, gateway in gateways.items() if gateway.handover}:
    pulumi.export("metal", pulumi.Output.secret(machines))
