"""The questions about a new environment. Their order lets each answer be checked at once."""

import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from environments import required
from environments.answers import AnswerError, Place, Values, refuse_given, text, with_networks, with_value
from environments.checks import Checks, published_on_nodes
from infra.resources.existing_namespace import PRIVILEGED
from infra.settings.gateway import GatewaySettings
from infra.settings.orchestrator import OrchestratorSettings
from infra.settings.stack import StackSettings
from infra.settings.value_types import NODE_PORTS

NONE = "none"
"""The answer that leaves out something that has a default."""


class Terminal(Protocol):
    """Where questions are asked."""

    def ask(self, question: str, default: str, *, hidden: bool = False) -> str:
        """The answer, the default when it is empty; what is `hidden` is not echoed."""

    def tell(self, sentence: str) -> None:
        """Say something that is no question."""


class Interview:
    """Asks for one environment. An answer is kept when the settings' rules and the checks take it."""

    def __init__(self, terminal: Terminal, checks: Checks) -> None:
        self._terminal = terminal
        self._checks = checks
        self._values: Values = {}

    def run(self) -> Values:
        """The whole answers."""
        self._cluster()
        if self._yes("Are its gateways exit nodes of a Headscale mesh (no: to the Internet alone)?", default="yes"):
            self._headscale()
        self._gateway(0)
        while self._yes("Another gateway (another region, say)?", default="no"):
            self._gateway(len(self._values["gateways"]))
        self._orchestrator()
        return self._values

    def _cluster(self) -> None:
        contexts, current = self._checks.contexts()
        self._ask(
            f"Context of the kubeconfig ({', '.join(contexts) or 'there is none'})",
            ("cluster", "context"),
            default=current or NONE,
            check=self._checks.cluster,
        )
        self._values = with_networks(self._values, self._checks.networks(self._context))
        create = self._yes("Does the stack make its namespace (no: it is there, and stays as it is)?", default="yes")
        if not create:
            self._values = with_value(self._values, ("create_namespace",), False)
        self._ask(
            "Namespace",
            ("namespace",),
            default=StackSettings.model_fields["namespace"].default,
            check=self._free if create else self._lets_a_gateway_in,
        )

        protect = self._yes("Must it refuse to lose what cannot be had again (keys, nodes, volumes)?", default="no")
        self._values = with_value(self._values, ("protect",), protect)

    def _free(self, namespace: str) -> None:
        self._checks.namespace(self._context, namespace)

    def _lets_a_gateway_in(self, namespace: str) -> None:
        self._checks.existing_namespace(self._context, namespace, PRIVILEGED)

    def _headscale(self) -> None:
        managed = not self._yes("Is there a Headscale already?", default="yes")
        self._values = with_value(self._values, ("headscale", "managed"), managed)
        if managed:
            self._ask("Its URL, as nodes and this program will dial it (https)", ("headscale", "url"))
            self._ask(
                f"TLS Secret of its ingress, in the stack's namespace ({NONE}: no ingress of ours)",
                ("headscale", "ingress"),
                default=NONE,
                parse=lambda secret: {"tls_secret": secret},
            )
            self._ask(
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
        self._ask(
            "An API key of it (`headscale apikeys create`), not shown",
            ("headscale_api_key",),
            check=lambda key: self._checks.api_key(*self._server, key),
            hidden=True,
        )

    def _reached(self) -> bool:
        """Ask for URL and CA, and return whether a Headscale answers there. If not, either may be wrong."""
        self._ask("Its URL", ("headscale", "url"))
        self._ask(
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
        self._values = with_value(self._values, ("gateways", index), proposed)
        self._ask(f"Name of gateway {index + 1}", ("gateways", index, "name"))
        self._ask(
            "How clients reach it: NodePort, LoadBalancer or HostPort",
            ("gateways", index, "exposure"),
            default=GatewaySettings.model_fields["exposure"].default,
        )
        self._ask(
            "Endpoint that clients dial, host:port",
            ("gateways", index, "endpoint"),
            check=lambda _: self._port_is_free(index),
        )
        self._ask(
            "Client networks, separated by commas",
            ("gateways", index, "client_networks"),
            default=", ".join(proposed["client_networks"]),
            parse=_parts,
        )
        before = self._values["gateways"][index - 1] if index else {}
        self._ask(
            "Its image, which you built, by digest: NAME@sha256:… (`docker push` prints the digest)",
            ("gateways", index, "image"),
            default=before.get("image", ""),
            check=required.refuse_tag,
        )
        if "headscale" in self._values:
            default = before.get("tailscale_image", "")
            self._ask_digest(required.TAILSCALE, ("gateways", index, "tailscale_image"), default)

    def _ask_digest(self, image: str, place: Place, default: str = "") -> None:
        """Ask for the digest of an image of others; the answer may be another image, by its digest."""
        self._ask(
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
                refuse_given(with_value(self._values, ("gateways", index), gateway))
                return gateway
        raise AnswerError("The networks from 10.77.0.0/16 to 10.255.0.0/16 are all taken; write the stack by hand.")

    def _headscale_port_is_free(self, port: int | None) -> None:
        if port:
            self._checks.node_port(self._context, self._namespace, port)

    def _port_is_free(self, index: int) -> None:
        gateway = GatewaySettings.model_validate(self._values["gateways"][index])
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
                self._keep(("orchestrator",), given, lambda _: self._checks.orchestrator(self._values))
            except AnswerError as wrong:
                self._terminal.tell(str(wrong))
            else:
                return

    def _ask(
        self,
        question: str,
        place: Place,
        *,
        default: str = "",
        parse: Callable[[str], object] = str,
        check: Callable[[Any], object] = lambda _: None,
        hidden: bool = False,
    ) -> None:
        """Ask until the answer can be kept."""
        while True:
            answer = self._terminal.ask(question, default, hidden=hidden)
            try:
                self._keep(place, _parsed(answer, parse), check)
            except AnswerError as wrong:
                self._terminal.tell(str(wrong))
            else:
                return

    def _keep(self, place: Place, value: object, check: Callable[[Any], object]) -> None:
        before = self._values
        self._values = with_value(before, place, value)
        try:
            refuse_given(self._values)
            check(value)
        except AnswerError:
            self._values = before
            raise

    def _yes(self, question: str, default: str) -> bool:
        while (answer := self._terminal.ask(f"{question} (yes, no)", default).lower()) not in {"yes", "y", "no", "n"}:
            self._terminal.tell("Answer yes or no.")
        return answer.startswith("y")

    @property
    def _context(self) -> str | None:
        context: str | None = self._values.get("cluster", {}).get("context")
        return context

    @property
    def _namespace(self) -> str:
        return str(self._values.get("namespace", StackSettings.model_fields["namespace"].default))

    @property
    def _server(self) -> tuple[str, str | None]:
        headscale = self._values["headscale"]
        return str(headscale["url"]), headscale.get("ca_certificate")


def _parsed(answer: str, parse: Callable[[str], object]) -> object:
    if not answer:
        raise AnswerError("An answer is needed here.")
    return None if answer == NONE else parse(answer)


def _number(answer: str) -> object:
    return int(answer) if answer.isdecimal() else answer


def _parts(answer: str) -> list[str]:
    return re.findall(r"[^\s,]+", answer)
