"""CertificateAuthority and IssuingCertificate: what devices trust and are certified by, kept in the state.

The CA's key never leaves the state. A gateway holds its issuing key alone: if that is lost, `rotation` makes another.
`infra.certificate_authority` is imported where it is called: a preview without changes need not wait for that.
"""

from collections.abc import Iterator
from typing import Any

from pulumi import Input, Output, ResourceOptions, contains_unknowns
from pulumi.dynamic import DiffResult, Resource
from typing_extensions import override

from infra.resources.base import Props, Provider, secret_outputs
from infra.resources.connections import Connections
from infra.secret_contents import ISSUING_CERTIFICATE, ISSUING_KEY


class CertificateAuthorityProvider(Provider):
    """Makes CAs; nothing outside the state knows of their keys."""

    INPUTS = ("name",)
    REPLACING = INPUTS

    @override
    def make(self, connections: Connections, props: Props) -> tuple[str, dict[str, Any]]:
        """The id is the CA's name."""
        from infra import certificate_authority

        made = certificate_authority.make(props["name"])
        return props["name"], {"certificate": made.certificate, "key": made.key}


class CertificateAuthority(Resource, module="meshgate", name="CertificateAuthority"):
    """A CA of this common name, for 20 years; its key is secret. Both outputs are PEM."""

    certificate: Output[str]
    key: Output[str]

    def __init__(self, name: str, *, common_name: str, opts: ResourceOptions | None = None) -> None:
        props = {"name": common_name, "certificate": None, "key": None}
        super().__init__(CertificateAuthorityProvider(), name, props, secret_outputs(opts, "key"))


class IssuingCertificateProvider(Provider):
    """Makes issuing certificates below a CA."""

    INPUTS = ("rotation", "name", "ca_certificate")
    REPLACING = INPUTS

    @override
    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        """A rotation that spares it is an update: it is known then, and makes nothing new later either."""
        found = super().diff(_id, _olds, _news)
        if _news.get("spared") and found.replaces == ["rotation"]:
            return DiffResult(changes=True, replaces=[])
        return found

    @override
    def change(self, connections: Connections, id_: str, olds: Props, news: Props) -> dict[str, Any]:
        """The same certificate, under another rotation."""
        return {name: olds[name] for name in ("chain", "key")}

    @override
    def refusals(self, connections: Connections, olds: Props, news: Props) -> Iterator[tuple[str, str]]:
        """Nothing can be issued below a CA that has ended."""
        ca = news.get("ca_certificate")
        if not ca or contains_unknowns(ca):
            return
        from infra import certificate_authority

        try:
            certificate_authority.check(ca)
        except ValueError as error:
            yield "", str(error)

    @override
    def make(self, connections: Connections, props: Props) -> tuple[str, dict[str, Any]]:
        """The id is the gateway's name. What a lost state left stays below that state's CA, as devices know it."""
        left = connections.left_behind(props.get("kept_in"))
        if chain := left.get(ISSUING_CERTIFICATE):
            return props["name"], {"chain": chain, "key": left[ISSUING_KEY]}
        from infra import certificate_authority

        authority = certificate_authority.Authority(props["ca_certificate"], props["ca_key"])
        made = certificate_authority.issuing(authority, props["name"])
        return props["name"], {"chain": made.certificate + authority.certificate, "key": made.key}


class IssuingCertificate(Resource, module="meshgate", name="IssuingCertificate"):
    """What a gateway issues certificates with. Inputs: `rotation`, any text; another text makes a new one.

    `spared` says that it does not: it is the WireGuard key alone that is rotated.
    `kept_in` is the Secret that holds it, for a state that takes over from a lost one.
    """

    chain: Output[str]
    """The certificate and its CA's, in PEM."""
    key: Output[str]
    """In PEM; secret."""

    def __init__(
        self,
        name: str,
        *,
        common_name: str,
        authority: CertificateAuthority,
        rotation: Input[str] = "",
        spared: bool = False,
        kept_in: str | None = None,
        opts: ResourceOptions | None = None,
    ) -> None:
        inputs = {
            "rotation": rotation,
            "name": common_name,
            "ca_certificate": authority.certificate,
            "ca_key": authority.key,
            "spared": spared,
            "kept_in": kept_in,
        }
        outputs = {"chain": None, "key": None}
        super().__init__(
            IssuingCertificateProvider(), name, {**inputs, **outputs}, secret_outputs(opts, "ca_key", "key")
        )
