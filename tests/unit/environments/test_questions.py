"""The interview by a script: which answers are kept, which are asked for again and with which sentence."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from environments import required
from environments.answers import AnswerError, Values, whole
from environments.checks import Checks, Found, check_all
from environments.questions import Interview
from tests.certificates import CA

DIGEST = f"sha256:{'0' * 64}"
GATEWAY = f"registry.example.com/meshgate/gateway@{DIGEST}"


class FakeChecks(Checks):
    """Surroundings in which everything is right but what a test puts into `wrong`, once each."""

    def __init__(self, wrong: dict[str, str] | None = None, networks: Found | None = None) -> None:
        super().__init__("test")
        self.wrong = wrong or {}
        self.found = networks or {}
        self.asked: list[tuple[str, tuple[Any, ...]]] = []

    def contexts(self) -> tuple[list[str], str | None]:
        return ["home", "work"], "home"

    def cluster(self, context: str | None) -> None:
        self._look("cluster", context)

    def networks(self, context: str | None) -> Found:
        return self.found

    def namespace(self, context: str | None, namespace: str) -> None:
        self._look("namespace", context, namespace)

    def existing_namespace(self, context: str | None, namespace: str, standard: str) -> None:
        self._look("existing_namespace", context, namespace, standard)

    def headscale(self, url: str, ca_certificate: str | None) -> None:
        self._look("headscale", url, ca_certificate)

    def api_key(self, url: str, ca_certificate: str | None, key: str) -> None:
        self._look("api_key", url, ca_certificate, key)

    def node_port(self, context: str | None, namespace: str, port: int) -> None:
        self._look("node_port", context, namespace, port)

    def orchestrator(self, values: Values) -> None:
        self._look("orchestrator", values["orchestrator"])

    def _look(self, what: str, *arguments: object) -> None:
        self.asked.append((what, arguments))
        if sentence := self.wrong.pop(what, None):
            raise AnswerError(sentence)


class Script:
    """A terminal that answers by the question's beginning, in turn when there are several; else with the default."""

    def __init__(self, **answers: str | list[str]) -> None:
        self._answers = {
            key.replace("_", " "): list(value) if isinstance(value, list) else [value] for key, value in answers.items()
        }
        self.asked: list[str] = []
        self.told: list[str] = []
        self.hidden: list[str] = []

    def ask(self, question: str, default: str, *, hidden: bool = False) -> str:
        self.asked.append(question)
        if hidden:
            self.hidden.append(question)
        for beginning, answers in self._answers.items():
            if question.startswith(beginning) and answers:
                return answers.pop(0) or default
        assert default, question
        return default

    def tell(self, sentence: str) -> None:
        self.told.append(sentence)


EXISTING: dict[str, str | list[str]] = {
    "Its_URL": "https://headscale.example.com",
    "An_API_key": "a-key",
    "Name_of": "one",
    "Endpoint": "vpn.example.com:31820",
    "Its_image": GATEWAY,
    "Digest_of_tailscale": DIGEST,
}
MANAGED: dict[str, str | list[str]] = EXISTING | {"Is_there": "no", "Digest_of_headscale": DIGEST}


def answered(checks: Checks | None = None, **answers: str | list[str]) -> tuple[Values, Script]:
    script = Script(**(EXISTING | answers))
    values = Interview(script, checks or FakeChecks()).run()
    whole(values)
    return values, script


def test_the_shortest_way_takes_every_default() -> None:
    values, script = answered()
    assert script.told == []
    assert script.hidden == ["An API key of it (`headscale apikeys create`), not shown"]
    settings = whole(values)
    assert settings.cluster.context == "home"
    assert (settings.namespace, settings.create_namespace) == ("headscale", True)
    assert settings.headscale is not None
    assert settings.headscale.url == "https://headscale.example.com"
    assert not settings.headscale.managed
    assert settings.headscale_api_key is not None
    assert settings.headscale_api_key.get_secret_value() == "a-key"
    (gateway,) = settings.gateways
    assert (gateway.name, gateway.exposure, gateway.endpoint) == ("one", "NodePort", "vpn.example.com:31820")
    assert list(map(str, gateway.client_networks)) == ["10.77.0.0/16"]
    assert gateway.image == GATEWAY
    assert gateway.tailscale_image == f"tailscale/tailscale:v1.102.3@{DIGEST}"
    required.refuse_missing(settings)
    assert settings.orchestrator is not None
    assert settings.orchestrator.deployment == "june-orchestrator"


def test_a_namespace_that_is_there_is_used_as_it_is() -> None:
    checks = FakeChecks()
    values, _ = answered(checks, Does_the_stack="no")
    settings = whole(values)
    assert (settings.namespace, settings.create_namespace) == ("headscale", False)
    checks_of_whole = FakeChecks()
    check_all(checks_of_whole, values, settings)
    for asked in (checks.asked, checks_of_whole.asked):
        assert ("existing_namespace", ("home", "headscale", "privileged")) in asked
        assert "namespace" not in [what for what, _ in asked]


def test_plain_gateways_need_no_headscale() -> None:
    values, script = answered(Are_its="no")
    settings = whole(values)
    assert settings.headscale is None
    later = script.asked[script.asked.index(next(one for one in script.asked if one.startswith("Are its"))) + 1 :]
    assert not any("Headscale" in question or "tailscale" in question for question in later)
    required.refuse_missing(settings)


def test_a_managed_headscale_needs_no_key_but_a_way_to_it() -> None:
    values, script = answered(Is_there="no", TLS_Secret="headscale-tls", Node_port="30080", Digest_of_headscale=DIGEST)
    settings = whole(values)
    assert settings.headscale is not None
    assert settings.headscale.managed
    assert settings.headscale.ingress is not None
    assert settings.headscale.ingress.tls_secret == "headscale-tls"
    assert settings.headscale.node_port == 30080
    assert settings.headscale.image == f"headscale/headscale:0.29.3@{DIGEST}"
    assert script.hidden == []


def test_several_gateways_get_networks_of_their_own() -> None:
    values, _ = answered(
        Another=["yes", "yes", "no"],
        Name_of=["one", "two", "three"],
        How_clients=["", "LoadBalancer", "HostPort"],
        Endpoint=["a.example.com:31820", "b.example.com:51820", "c.example.com:51820"],
        Client_networks=["10.77.0.0/16, fd77::/64", "", ""],
    )
    assert [list(map(str, gateway.client_networks)) for gateway in whole(values).gateways] == [
        ["10.77.0.0/16", "fd77::/64"],
        ["10.78.0.0/16"],
        ["10.79.0.0/16"],
    ]


def test_another_gateway_runs_the_same_images() -> None:
    values, _ = answered(
        Another=["yes", "no"], Name_of=["one", "two"], Endpoint=["a.example.com:31820", "b.example.com:31821"]
    )
    one, two = values["gateways"]
    assert (two["image"], two["tailscale_image"]) == (one["image"], one["tailscale_image"])


def test_clients_keep_clear_of_what_the_cluster_uses() -> None:
    found = {"pod_networks": ["10.77.0.0/16"], "service_networks": ["10.96.0.0/16"]}
    values, _ = answered(FakeChecks(networks=found))
    assert values["cluster"] == {"context": "home", "pod_networks": ["10.77.0.0/16"]}
    assert values["gateways"][0]["client_networks"] == ["10.78.0.0/16"]


def test_what_must_not_be_lost_is_protected() -> None:
    assert whole(answered()[0]).protect is False
    assert whole(answered(Must_it="yes")[0]).protect is True


def test_no_orchestrator() -> None:
    values, _ = answered(Deployment="none")
    assert "orchestrator" not in values


@pytest.mark.parametrize(
    ("answers", "sentence"),
    [
        ({"Namespace": ["My Namespace", "meshgate"]}, "meshgate:namespace: 'My Namespace' is not a name"),
        ({"Is_there": ["perhaps", "yes"]}, "Answer yes or no."),
        ({"Its_URL": ["headscale", "https://headscale.example.com"]}, "meshgate:headscale.url: 'headscale' is not a"),
        ({"Its_URL": ["http://headscale.example.com", "https://h.example.com"]}, "would carry the API key in clear"),
        ({"PEM_file": ["/nowhere/ca.crt", "none"]}, "/nowhere/ca.crt cannot be read: No such file or directory."),
        (
            {"PEM_file": [str(Path(__file__).parents[3] / "pyproject.toml"), "none"]},
            "meshgate:headscale.ca_certificate: it is not a certificate in PEM form",
        ),
        ({"Name_of": ["Tokyo 1", "tokyo"]}, "meshgate:gateways[0].name: 'Tokyo 1' is not a name"),
        ({"How_clients": ["Ingress", "NodePort"]}, "meshgate:gateways[0].exposure: 'Ingress' cannot be used"),
        ({"Endpoint": ["vpn.example.com", "vpn.example.com:31820"]}, "is not host:port"),
        ({"Endpoint": ["vpn.example.com:51820", "vpn.example.com:31820"]}, "endpoint port 51820 is no NodePort"),
        ({"Endpoint": ["vpn.example.com:41641", "vpn.example.com:31820"]}, "port 41641 is tailscaled's own"),
        ({"Client_networks": ["100.100.0.0/16", ""]}, "whose addresses tailscaled drops"),
        ({"Client_networks": ["10.244.3.0/24", ""]}, "overlaps 10.244.0.0/16 of cluster.pod_networks"),
        ({"Client_networks": ["fd77::/64", ""]}, "has no IPv4 network"),
        (MANAGED | {"Node_port": ["80", "30080"]}, "meshgate:headscale.node_port: 80 cannot be used"),
        (MANAGED | {"Node_port": ["http", "30080"]}, "meshgate:headscale.node_port: 'http' cannot be used"),
        ({"Deployment": ["/", "none"]}, "Deployment"),
        (
            {"Its_image": ["acme/gateway:0.1.0", GATEWAY]},
            "acme/gateway:0.1.0 is no image by digest; write NAME@sha256:…",
        ),
        (
            {"Digest_of_tailscale": ["sha256:12", DIGEST]},
            "tailscale/tailscale:v1.102.3@sha256:12 is no image by digest",
        ),
        (MANAGED | {"Digest_of_headscale": ["0.29.3", DIGEST]}, "0.29.3 is no image by digest"),
    ],
)
def test_a_wrong_answer_is_told_in_a_sentence_and_asked_for_again(
    answers: dict[str, str | list[str]], sentence: str
) -> None:
    checks = FakeChecks(
        {"orchestrator": "Deployment june-services/ does not exist."} if "Deployment" in answers else {}
    )
    _, script = answered(checks, **answers)
    (told,) = script.told
    assert sentence in told
    assert len(told.splitlines()) == 1


@pytest.mark.parametrize(
    ("what", "answers"),
    [
        ("cluster", {"Context": ["home", "work"]}),
        ("namespace", {"Namespace": ["payments", "meshgate"]}),
        ("existing_namespace", {"Does_the_stack": "no", "Namespace": ["payments", "june"]}),
        ("headscale", {"Its_URL": ["https://one.example.com", "https://other.example.com"]}),
        ("api_key", {"An_API_key": ["old-key", "new-key"]}),
        ("node_port", {"Endpoint": ["vpn.example.com:31821", "vpn.example.com:31820"]}),
        ("node_port", MANAGED | {"Node_port": ["30080", "30081"]}),
        ("orchestrator", {"Deployment": ["june-services/june", "june-services/june-orchestrator"]}),
    ],
)
def test_what_the_surroundings_refuse_is_asked_for_again(what: str, answers: dict[str, str | list[str]]) -> None:
    checks = FakeChecks({what: "That cannot be."})
    _, script = answered(checks, **answers)
    assert script.told == ["That cannot be."]
    assert [asked for asked, _ in checks.asked].count(what) >= 2


def test_a_name_twice_is_asked_for_again_and_not_the_endpoint_after_it() -> None:
    values, script = answered(
        Another=["yes", "no"], Name_of=["one", "one", "two"], Endpoint=["a.example.com:31820", "b.example.com:31821"]
    )
    assert [gateway["name"] for gateway in values["gateways"]] == ["one", "two"]
    assert script.told == ["meshgate: gateways share the name one; each needs its own."]


def test_an_answer_that_must_be_given() -> None:
    questions: list[str] = []

    class Silent(Script):
        def ask(self, question: str, default: str, *, hidden: bool = False) -> str:
            questions.append(question)
            return "" if questions.count("Its URL") == 1 and question == "Its URL" else super().ask(question, default)

    script = Silent(**EXISTING)
    Interview(script, FakeChecks()).run()
    assert script.told == ["An answer is needed here."]


def test_a_ca_is_read_from_its_file(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_text(CA)
    checks = FakeChecks()
    values, _ = answered(checks, PEM_file=str(tmp_path / "ca.crt"))
    assert values["headscale"]["ca_certificate"] == CA
    assert ("api_key", ("https://headscale.example.com", CA, "a-key")) in checks.asked


def test_whole_answers_are_held_against_everything() -> None:
    values, _ = answered()
    checks = FakeChecks()
    check_all(checks, values, whole(values))
    assert [what for what, _ in checks.asked] == [
        "cluster",
        "namespace",
        "headscale",
        "api_key",
        "node_port",
        "orchestrator",
    ]


@pytest.mark.parametrize(
    "change",
    [
        lambda gateway: gateway | {"exposure": "LoadBalancer", "endpoint": "vpn.example.com:51820"},
        lambda gateway: gateway | {"target": "metal", "peers_url": "https://peers.example.com"},
    ],
)
def test_no_node_port_is_looked_for_where_none_is_used(change: Callable[[Values], Values]) -> None:
    values, _ = answered()
    values["gateways"] = [change({"name": "one", "endpoint": "vpn.example.com:31820"})]
    checks = FakeChecks()
    check_all(checks, values, whole(values))
    assert "node_port" not in [what for what, _ in checks.asked]
