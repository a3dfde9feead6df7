"""Answers from a file, and the sentences about those that cannot work."""

import io
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from environments import answers
from environments.answers import AnswerError
from infra.curve25519 import generate_private_key
from infra.settings.stack import StackSettings

KNOWN = ", ".join(sorted(StackSettings.model_fields))
SECRET = "hskey-api-secret"
GOOD: dict[str, Any] = {
    "headscale": {"managed": True, "url": "https://headscale.example.com"},
    "gateways": [{"name": "one", "endpoint": "vpn.example.com:31820"}],
}


def test_a_file_and_standard_input_hold_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "namespace: meshgate-dev\nheadscale: {managed: true}\n"
    (tmp_path / "dev.yaml").write_text(text)
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    expected = {"namespace": "meshgate-dev", "headscale": {"managed": True}}
    assert answers.read(tmp_path / "dev.yaml") == answers.read(answers.STDIN) == expected


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (f"headscale_api_key: {SECRET}\n  gateways: [", "is not YAML (line 2)."),
        ("just a sentence", "holds no settings; docs/environments.md shows what it has to look like."),
        ("", "holds no settings"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_without_its_content(text: str, sentence: str, tmp_path: Path) -> None:
    file = tmp_path / "answers.yaml"
    file.write_text(text)
    with pytest.raises(AnswerError) as refused:
        answers.read(file)
    assert sentence in str(refused.value)
    assert SECRET not in str(refused.value)


def test_the_documentation_s_answers_are_whole() -> None:
    page = (Path(__file__).parents[3] / "docs" / "environments.md").read_text()
    (block,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    settings = answers.whole(yaml.safe_load(block))
    assert settings.gateways[0].name == "staging"


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(AnswerError, match="cannot be read: No such file or directory"):
        answers.read(tmp_path / "nothing.yaml")


def test_every_setting_that_cannot_work_is_named() -> None:
    with pytest.raises(AnswerError) as refused:
        answers.whole(GOOD | {"namespaces": "x", "gateways": [{"name": "one"}]})
    assert str(refused.value).splitlines() == [
        "meshgate:gateways[0].endpoint: it is missing and has no default.",
        f"meshgate:namespaces: there is no such setting; known here are {KNOWN}.",
    ]


def test_a_key_is_not_written_into_a_stack_file() -> None:
    key = generate_private_key()
    with pytest.raises(
        AnswerError, match=r"`pulumi config set --secret --path 'gateways\[0\]\.private_key'`"
    ) as refused:
        answers.whole(GOOD | {"gateways": [{**GOOD["gateways"][0], "private_key": key}]})
    assert key not in str(refused.value)


def test_what_is_still_to_be_answered_is_no_fault() -> None:
    answers.refuse_given({})
    answers.refuse_given({"headscale": {"managed": False}})
    with pytest.raises(AnswerError, match="is not a URL"):
        answers.refuse_given({"headscale": {"url": "x"}})


def test_values_are_put_into_place_and_taken_out() -> None:
    one = answers.with_value({}, ("gateways", 0), {"name": "one"})
    two = answers.with_value(one, ("gateways", 0, "endpoint"), "x:1")
    assert one == {"gateways": [{"name": "one"}]}
    assert two == {"gateways": [{"name": "one", "endpoint": "x:1"}]}
    assert answers.with_value(two, ("gateways", 0, "endpoint"), None) == one
    assert answers.with_value({}, ("headscale", "ingress", "tls_secret"), "tls") == {
        "headscale": {"ingress": {"tls_secret": "tls"}}
    }


def test_networks_that_the_defaults_cover_are_not_named() -> None:
    found = {"pod_networks": ["10.244.0.0/24", "10.244.1.0/24"], "service_networks": ["10.96.0.0/16"]}
    assert answers.with_networks(GOOD, found) == GOOD


def test_others_are() -> None:
    found = {"pod_networks": ["10.42.0.0/16", "fd42::/56"], "service_networks": ["10.43.0.0/16"]}
    assert answers.with_networks(GOOD, found) == GOOD | {"cluster": found}


def test_networks_that_are_given_otherwise_are_refused() -> None:
    given = GOOD | {"cluster": {"pod_networks": ["10.244.0.0/16"]}}
    with pytest.raises(AnswerError) as refused:
        answers.with_networks(given, {"pod_networks": ["10.42.0.0/16"]})
    assert str(refused.value) == (
        "meshgate:cluster.pod_networks: the cluster itself uses 10.42.0.0/16, which is not in 10.244.0.0/16; "
        "name it here, or leave pod_networks out to have it found."
    )
