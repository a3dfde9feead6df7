"""What may stand in Pulumi.<stack>.yaml under `meshgate:`, all sections together.

The rules between sections are here and in `collisions`. Every rule that can be checked without touching a system is
there or in a section. So `pulumi preview` refuses a bad value before anything is changed.
"""

from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import BeforeValidator, SecretStr, model_validator

from infra.settings import collisions, pods, tls_pair
from infra.settings.cluster import ClusterSettings
from infra.settings.gateway import GatewaySettings
from infra.settings.headscale import HeadscaleSettings
from infra.settings.mesh_clients import MeshClientsSettings
from infra.settings.orchestrator import OrchestratorSettings
from infra.settings.pod import PodSettings
from infra.settings.section import Section
from infra.settings.value_types import Name, StackId


class StackSettings(Section):
    """All settings of a stack."""

    namespace: Name = "headscale"
    """The namespace of everything that the stack declares."""
    create_namespace: bool = True
    """Whether the stack makes the namespace, and `pulumi destroy` deletes it with all that is in it. With false it is
    there already, such as one that Headscale runs in: what is not the stack's own is left alone, itself included."""
    recover: StackId | None = None
    """The id of a state of this stack that is lost. What that state made is taken over, with gateways' keys and tokens;
    `pulumi preview` tells the id where it finds such things. It has no effect once they are taken over."""
    protect: bool | None = None
    """Whether Pulumi refuses to replace or delete what cannot be had again: gateways' keys, nodes and volumes. And
    whether the preview refuses what makes clients' configs useless, such as another endpoint.
    The policy pack wants every stack but the lab to say it: true for prod, false where all may be lost."""
    cluster: ClusterSettings = ClusterSettings()
    pod: PodSettings = PodSettings()
    headscale: Annotated[HeadscaleSettings | None, BeforeValidator(lambda value: value or None)] = None
    headscale_api_key: SecretStr | None = None
    """The API key of an existing server (`pulumi config set --secret headscale_api_key`). A managed server makes its
    own."""
    headscale_ingress_key: SecretStr | None = None
    """PEM of the private key of `headscale.ingress.certificate`
    (`pulumi config set --secret headscale_ingress_key < key.pem`)."""
    access: tuple[Literal["mesh"], ...] = ()
    """The ways of the whole stack: with `mesh` the app's users can join the mesh themselves, as Tailscale clients."""
    mesh_clients: Annotated[MeshClientsSettings | None, BeforeValidator(lambda value: value or None)] = None
    gateways: tuple[GatewaySettings, ...] = ()
    """The gateways; none in a stack whose only way is `mesh`."""
    orchestrator: Annotated[OrchestratorSettings | None, BeforeValidator(lambda value: value or None)] = None

    @property
    def clients(self) -> MeshClientsSettings:
        """`mesh_clients`, or what stands for it."""
        return self.mesh_clients or MeshClientsSettings()

    def mesh(self, gateway: GatewaySettings) -> HeadscaleSettings | None:
        """The server whose mesh a gateway is part of; None of a plain one."""
        return self.headscale if gateway.mesh else None

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        _refuse_unfit_key(self.headscale, self.headscale_api_key)
        _refuse_unfit_ingress_key(self.headscale, self.headscale_ingress_key)
        for index, gateway in enumerate(self.gateways):
            if not self.mesh(gateway):
                _refuse_mesh_settings(f"gateways[{index}]", gateway)
        for problem in collisions.problems(self):
            raise ValueError(problem)
        if self.orchestrator:
            _refuse_unreachable(self.orchestrator, self.gateways)
        _refuse_unfit_access(self)
        for problem in pods.problems(self):
            raise ValueError(problem)
        return self


def _refuse_unfit_key(headscale: HeadscaleSettings | None, api_key: SecretStr | None) -> None:
    if api_key and headscale is None:
        raise ValueError("headscale_api_key is set, but there is no `headscale`; remove it or say whose it is")
    if api_key and headscale and headscale.managed:
        raise ValueError(
            "headscale_api_key is set, but a managed server makes its own; remove it or set headscale.managed false"
        )
    if headscale and not headscale.managed and not api_key:
        raise ValueError(
            "headscale_api_key is missing: an existing server needs one; "
            "run `headscale apikeys create` there and `pulumi config set --secret headscale_api_key`"
        )


def _refuse_unfit_ingress_key(headscale: HeadscaleSettings | None, key: SecretStr | None) -> None:
    certificate = headscale.ingress.certificate if headscale and headscale.ingress else None
    if key and not certificate:
        raise ValueError(
            "headscale_ingress_key is set, but headscale.ingress has no `certificate`; remove it or give that"
        )
    if certificate and not key:
        raise ValueError(
            "headscale_ingress_key is missing: headscale.ingress.certificate needs its key; "
            "run `pulumi config set --secret headscale_ingress_key < key.pem`"
        )
    if headscale and certificate and key:
        host = urlsplit(headscale.url).hostname or ""
        if problem := tls_pair.problem(certificate, key.get_secret_value(), host):
            raise ValueError(problem)


def _refuse_unfit_access(settings: StackSettings) -> None:
    if not settings.gateways and not settings.access:
        raise ValueError("gateways is empty, so nobody gets in; list a gateway, or set access: [mesh]")
    if settings.access and settings.headscale is None:
        raise ValueError("access has mesh, but there is no `headscale` to join; add it, or leave mesh out")
    if settings.mesh_clients and not settings.access:
        raise ValueError("mesh_clients is set, but `access` lacks mesh; add it there, or leave the section out")


def _refuse_mesh_settings(place: str, gateway: GatewaySettings) -> None:
    """A plain gateway is told nothing of a mesh, as that would have no effect."""
    if given := sorted(gateway.MESH_ONLY & gateway.model_fields_set):
        raise ValueError(
            f"{place}: {', '.join(given)} describe a node of the mesh; leave them out or give it a `headscale`"
        )


def _refuse_unreachable(orchestrator: OrchestratorSettings, gateways: tuple[GatewaySettings, ...]) -> None:
    names = [gateway.name for gateway in gateways]
    if orchestrator.gateway and orchestrator.gateway not in names:
        raise ValueError(f"orchestrator.gateway {orchestrator.gateway} is no gateway; there are {', '.join(names)}")
    for index, gateway in enumerate(gateways):
        if gateway.target == "metal" and not gateway.peers_url:
            raise ValueError(
                f"gateways[{index}].peers_url is missing: the orchestrator lets devices in there; "
                "give for example http://10.0.0.5:8080, or leave `orchestrator` out"
            )
