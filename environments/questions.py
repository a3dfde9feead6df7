"""The questions about a new environment. Their order lets each answer be checked at once."""

import re
from contextlib import suppress
from pathlib import Path

from environments import required
from environments.answers import AnswerError, Place, Values, refuse_given, text, with_networks, with_value
from environments.checks import Checks, published_on_nodes
from environments.form import NONE, Form, Terminal
from infra.resources.existing_namespace import PRIVILEGED
from infra.settings.gateway import GatewaySettings
from infra.settings.orchestrator import OrchestratorSettings
from infra.settings.stack import StackSettings
from infra.settings.value_types import NODE_PORTS


class Interview:
    """Asks for one environment."""

    def __init__(self, terminal: Terminal, checks: Checks) -> None:
        self._terminal = terminal
        self._checks = checks
        self._form = Form(terminal)

    def run(self) -> Values:
        """The whole answers."""
        self._cluster()
        if self._form.yes(
            "Are its gateways exit nodes of a Headscale mesh (no: to the Internet alone)?", default="yes"
        ):
            self._headscale()
        self._gateway(0)
        while self._form.yes("Another gateway (another region, say)?", default="no"):
            self._gateway(len(self._form.values["gateways"]))
        self._orchestrator()
        return self._form.values

    def _cluster(self) -> None:
        contexts, current = self._checks.contexts()
        self._form.ask(
            f"Context of the kubeconfig ({', '.join(contexts) or 'there is none'})",
            ("cluster", "context"),
            default=current or NONE,
            check=self._checks.cluster,
        )
        self._form.values = with_networks(self._form.values, self._checks.networks(self._context))
        create = self._form.yes(
            "Does the stack make its namespace (no: it is there, and stays as it is)?", default="yes"
        )
        if not create:
            self._form.put(("create_namespace",), False)
        self._form.ask(
            "Namespace",
            ("namespace",),
            default=StackSettings.model_fields["namespace"].default,
            check=self._free if create else self._lets_a_gateway_in,
        )

        protect = self._form.yes(
            "Must it refuse to lose what cannot be had again (keys, nodes, volumes)?", default="no"
        )
        self._form.put(("protect",), protect)

    def _free(self, namespace: str) -> None:
        self._checks.namespace(self._context, namespace)

    def _lets_a_gateway_in(self, namespace: str) -> None:
        self._checks.existing_namespace(self._context, namespace, PRIVILEGED)

    def _headscale(self) -> None:
        managed = not self._form.yes("Is there a Headscale already?", default="yes")
        self._form.put(("headscale", "managed"), managed)
        if managed:
            self._form.ask("Its URL, as nodes and this program will dial it (https)", ("headscale", "url"))
            self._form.ask(
                f"TLS Secret of its ingress, in the stack's namespace ({NONE}: no ingress of ours)",
                ("headscale", "ingress"),
                default=NONE,
                parse=lambda secret: {"tls_secret": secret},
            )
            self._form.ask(
                f"Node port for a proxy of your own before it ({NONE}: no node port)",
                ("headscale", "node_port"),
                default=NONE,
                parse=_number,
                check=self._headscale_port_is_free,
            )
            self._ask_digest(required.HEADSCALE, ("headscale", "image"))
            return
        while not self._reached():
            pass
        self._form.ask(
            "An API key of it (`headscale apikeys create`), not shown",
            ("headscale_api_key",),
            check=lambda key: self._checks.api_key(*self._server, key),
            hidden=True,
        )

    def _reached(self) -> bool:
        """Ask for URL and CA, and return whether a Headscale answers there. If not, either may be wrong."""
        self._form.ask("Its URL", ("headscale", "url"))
        self._form.ask(
            f"PEM file of the CA of its certificate ({NONE}: a public one)",
            ("headscale", "ca_certificate"),
            default=NONE,
            parse=lambda file: text(Path(file)),
        )
        try:
            self._checks.headscale(*self._server)
        except AnswerError as wrong:
            self._terminal.tell(str(wrong))
            return False
        return True

    def _gateway(self, index: int) -> None:
        proposed = self._proposed(index)
        self._form.put(("gateways", index), proposed)
        self._form.ask(f"Name of gateway {index + 1}", ("gateways", index, "name"))
        self._form.ask(
            "How clients reach it: NodePort, LoadBalancer or HostPort",
            ("gateways", index, "exposure"),
            default=GatewaySettings.model_fields["exposure"].default,
        )
        self._form.ask(
            "Endpoint that clients dial, host:port",
            ("gateways", index, "endpoint"),
            check=lambda _: self._port_is_free(index),
        )
        self._form.ask(
            "Client networks, separated by commas",
            ("gateways", index, "client_networks"),
            default=", ".join(proposed["client_networks"]),
            parse=_parts,
        )
        before = self._form.values["gateways"][index - 1] if index else {}
        self._form.ask(
            "Its image, which you built, by digest: NAME@sha256:… (`docker push` prints the digest)",
            ("gateways", index, "image"),
            default=before.get("image", ""),
            check=required.refuse_tag,
        )
        if "headscale" in self._form.values:
            default = before.get("tailscale_image", "")
            self._ask_digest(required.TAILSCALE, ("gateways", index, "tailscale_image"), default)

    def _ask_digest(self, image: str, place: Place, default: str = "") -> None:
        """Ask for the digest of an image of others; the answer may be another image, by its digest."""
        self._form.ask(
            f"Digest of {image}, sha256:… (`docker pull` prints it)",
            place,
            default=default,
            parse=lambda answer: required.with_digest(image, answer),
            check=required.refuse_tag,
        )

    def _proposed(self, index: int) -> Values:
        """A gateway that breaks no rule. So a refusal is always about the latest answer."""
        for second in range(77, 256):
            gateway = {
                "name": f"gateway-{index + 1}",
                "endpoint": f"gateway-{index + 1}.invalid:{NODE_PORTS.start + second}",
                "client_networks": [f"10.{second}.0.0/16"],
            }
            with suppress(AnswerError):
                refuse_given(with_value(self._form.values, ("gateways", index), gateway))
                return gateway
        raise AnswerError("The networks from 10.77.0.0/16 to 10.255.0.0/16 are all taken; write the stack by hand.")

    def _headscale_port_is_free(self, port: int | None) -> None:
        if port:
            self._checks.node_port(self._context, self._namespace, port)

    def _port_is_free(self, index: int) -> None:
        gateway = GatewaySettings.model_validate(self._form.values["gateways"][index])
        for port in published_on_nodes(gateway):
            self._checks.node_port(self._context, self._namespace, port)

    def _orchestrator(self) -> None:
        fields = OrchestratorSettings.model_fields
        while True:
            deployment = self._terminal.ask(
                f"Deployment that hands out WireGuard configs, namespace/name ({NONE}: there is none)",
                f"{fields['namespace'].default}/june-orchestrator",
            )
            if deployment == NONE:
                return
            container = self._terminal.ask("Its container", fields["container"].default)
            namespace, _, name = deployment.rpartition("/")
            given = {"namespace": namespace or fields["namespace"].default, "deployment": name, "container": container}
            try:
                self._form.keep(("orchestrator",), given, lambda _: self._checks.orchestrator(self._form.values))
            except AnswerError as wrong:
                self._terminal.tell(str(wrong))
            else:
                return

    @property
    def _context(self) -> str | None:
        context: str | None = self._form.values.get("cluster", {}).get("context")
        return context

    @property
    def _namespace(self) -> str:
        return str(self._form.values.get("namespace", StackSettings.model_fields["namespace"].default))

    @property
    def _server(self) -> tuple[str, str | None]:
        headscale = self._form.values["headscale"]
        return str(headscale["url"]), headscale.get("ca_certificate")


def _number(answer: str) -> object:
    return int(answer) if answer.isdecimal() else answer


def _parts(answer: str) -> list[str]:
    return re.findall(r"[^\s,]+", answer)
