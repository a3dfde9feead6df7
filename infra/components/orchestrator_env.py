"""HEADSCALE_SERVER_PUBLIC_KEY and all else that the orchestrator's env tells of the ways in; a Secret has the tokens.

Four names are of the chosen gateway. Where there are several, GATEWAYS lists them and each has four names of its own.
Two of the four are WireGuard's, and not there without it.
Three names are of the key service, where the mesh is a way in.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pulumi
from pulumi import contains_unknowns
from pulumi_kubernetes.core.v1 import Secret

from infra.components.component import Component
from infra.components.stack_cluster import StackCluster
from infra.kubernetes.labels import ADOPTED, labels
from infra.resources.standing import Standing
from infra.resources.token import digest
from infra.resources.workload_env import SecretKey, WorkloadEnv
from infra.settings import object_names
from infra.settings.orchestrator import OrchestratorSettings

TOKEN_SECRET = object_names.TOKEN_SECRET


@dataclass(frozen=True)
class GatewayAccess:
    """What a backend needs of a gateway to let devices in."""

    gateway: pulumi.Resource
    public_key: pulumi.Output[str] | None
    """WireGuard's; None of a gateway that does not offer it, whose endpoint nobody is told either."""
    endpoint: str
    peers_url: pulumi.Input[str]
    token: pulumi.Output[str]
    previous_token: pulumi.Output[str]
    """What a pod may have that is not restarted yet; empty before the first rotation."""
    stood: pulumi.Output[bool] | None = None
    """Whether it stands or once stood; None of one that the stack never hears of."""
    waited_for: bool = True
    """Whether the `up` that declares it waits for it: then a preview expects that it stands."""

    def shown(self, value: pulumi.Input[str]) -> pulumi.Input[str]:
        """The value, empty as long as there has been no gateway behind it."""
        if self.stood is None:
            return value
        return pulumi.Output.all(self.stood, value).apply(lambda both: str(both[1]) if both[0] else "")


@dataclass(frozen=True)
class KeyServiceAccess:
    """What a backend needs to let devices into the mesh."""

    service: pulumi.Resource
    login_server: str
    url: pulumi.Output[str]
    token: pulumi.Output[str]
    previous_token: pulumi.Output[str]


class OrchestratorEnv(Component):
    """The gateways' keys, endpoints, peer APIs and their tokens in the env of the orchestrator's container."""

    def __init__(
        self,
        cluster: StackCluster,
        settings: OrchestratorSettings,
        gateways: Mapping[str, GatewayAccess],
        keys: KeyServiceAccess | None,
    ) -> None:
        super().__init__("meshgate:components:OrchestratorEnv", "orchestrator")
        ways: list[GatewayAccess | KeyServiceAccess] = [*gateways.values(), *([keys] if keys else [])]
        tokens = [token for way in ways for token in (way.token, way.previous_token)]
        secret = Secret(
            "token",
            metadata={
                "name": TOKEN_SECRET,
                "namespace": settings.namespace,
                "labels": {**labels("orchestrator", pulumi.get_stack()), **cluster.owner},
                "annotations": ADOPTED,
            },
            string_data=pulumi.Output.all(*tokens).apply(
                lambda given: {_key(token): token for token in given if token}
            ),
            opts=self.child(provider=cluster.provider, hooks=cluster.ownership),
        )
        told = _Told()
        if gateways:
            _tell_gateways(told, self._known(gateways), settings.gateway or next(iter(gateways)))
        if keys:
            told.values |= {"MESH_LOGIN_SERVER": keys.login_server, "MESH_KEYS_URL": keys.url}
            told.secrets["MESH_KEYS_TOKEN"] = {"secret": TOKEN_SECRET, "key": _name(keys.token)}
        WorkloadEnv(
            "env",
            namespace=settings.namespace,
            deployment=settings.deployment,
            container=settings.container,
            values=told.values,
            secrets=told.secrets,
            deadline_seconds=settings.rollout_deadline,
            # Only a way that has come up is shown to the app.
            opts=self.child(
                secret, *(access.gateway for access in gateways.values()), *([keys.service] if keys else [])
            ),
        )
        self.register_outputs({})

    def _known(self, gateways: Mapping[str, GatewayAccess]) -> Mapping[str, GatewayAccess]:
        """The gateways, of which a preview knows whether each one stood."""
        stood = {name: access.stood for name, access in gateways.items() if access.stood is not None}
        if not stood:
            return gateways
        names = Standing("standing", stood=stood, opts=self.child()).names
        known = {name: _holds(names, name, expected=gateways[name].waited_for) for name in stood}
        return {name: replace(access, stood=known.get(name)) for name, access in gateways.items()}


def _holds(names: pulumi.Output[list[str]], name: str, *, expected: bool) -> pulumi.Output[bool]:
    """Whether the name is among them; as expected, if so, in a preview of their change, which knows none of them."""
    return names.apply(lambda names: contains_unknowns(names) or name in names, run_with_unknowns=expected)


@dataclass
class _Told:
    """What the env gets."""

    values: dict[str, pulumi.Input[str]] = field(default_factory=dict)
    secrets: dict[str, SecretKey] = field(default_factory=dict)


def _tell_gateways(told: _Told, gateways: Mapping[str, GatewayAccess], name: str) -> None:
    chosen = gateways[name]
    several = {name: chosen, **gateways} if len(gateways) > 1 else {}  # the chosen one first
    told.values |= {**_server("HEADSCALE_SERVER", chosen), "GATEWAY_PEERS_URL": chosen.shown(chosen.peers_url)}
    told.secrets["GATEWAY_PEERS_TOKEN"] = _token(chosen)
    if several:
        names = [access.shown(name) for name, access in several.items()]
        told.values["GATEWAYS"] = pulumi.Output.all(*names).apply(lambda shown: ",".join(filter(None, shown)))
    for name, access in several.items():
        one = f"GATEWAY_{name.upper().replace('-', '_')}"
        told.values |= {**_server(one, access), f"{one}_PEERS_URL": access.shown(access.peers_url)}
        told.secrets[f"{one}_PEERS_TOKEN"] = _token(access)


def _server(prefix: str, access: GatewayAccess) -> dict[str, pulumi.Input[str]]:
    """What native WireGuard clients dial, where they can."""
    if access.public_key is None:
        return {}
    return {
        f"{prefix}_PUBLIC_KEY": access.shown(access.public_key),
        f"{prefix}_ENDPOINT": access.shown(access.endpoint),
    }


def _key(token: str) -> str:
    """The token's key in the Secret. Another token has another key, so a rotated one rolls the Deployment out."""
    return f"token-{digest(token)}"


def _token(access: GatewayAccess) -> SecretKey:
    return {"secret": TOKEN_SECRET, "key": access.shown(_name(access.token))}


def _name(token: pulumi.Output[str]) -> pulumi.Output[str]:
    return pulumi.Output.unsecret(token.apply(_key))
