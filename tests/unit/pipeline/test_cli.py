"""The commands: what a laptop learns of GitHub, and a run whose tokens stay valid."""

import json
import signal
import stat
import sys
import threading
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from console import project
from infra.kubernetes.client import ClusterUnavailableError, KubernetesClient
from pipeline import cli
from pipeline.login import Login
from pipeline.names import of_job

STACK = """
encryptionsalt: v1:salt
config:
  meshgate:gateways:
  - {name: edge, endpoint: "vpn.example.com:31820", client_networks: [10.78.0.0/16]}
"""
GH = """
what = sys.argv[1]
assert sys.argv[2] == "list", sys.argv
environment = sys.argv[4] if sys.argv[3] == "--env" else ""
held = HELD.get(environment)
if held is None:
    sys.exit("HTTP 404: Not Found (https://api.github.com/repos/acme/mesh/environments/" + environment + ")")
print(json.dumps([{"name": name, "value": value} for name, value in held[what].items()]))
"""
PULUMI = """
asked = " ".join([*sys.argv[1:], os.environ.get("PULUMI_BACKEND_URL", "")])
Path(__file__).with_name("asked.txt").open("a").write(asked + "\\n")
print("v3.272.0")
"""
HOLDS = {
    "variable": {
        "PULUMI_BACKEND_URL": "s3://state?region=eu-central-1",
        "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/r",
    },
    "secret": {"PULUMI_CONFIG_PASSPHRASE": "", "KUBECONFIG": ""},
}
EMPTY: dict[str, dict[str, str]] = {"variable": {}, "secret": {}}


@pytest.fixture
def laptop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that is the repository and has the programs too; the cluster answers."""
    monkeypatch.setattr(project, "REPOSITORY", tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(KubernetesClient, "labels", lambda *_: None)
    project.stack_file("prod").write_text(STACK)
    program(tmp_path / "pulumi", PULUMI)
    program(tmp_path / "pulumi-language-python", "")
    return tmp_path


def program(file: Path, code: str) -> None:
    file.write_text(f"#!{sys.executable}\nimport json, os, sys\nfrom pathlib import Path\n{code}")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)


def held(laptop: Path, **environments: dict[str, dict[str, str]]) -> None:
    """Let GitHub hold this; the environment of no name is the repository."""
    named = {name.replace("_", "-"): value for name, value in environments.items()}
    program(laptop / "gh", f"HELD = json.loads({json.dumps(json.dumps({'': EMPTY} | named))})\n{GH}")


def checked() -> tuple[int, str]:
    done = CliRunner().invoke(cli.app, ["check", "prod"])
    return done.exit_code, f"{done.output}{done.exception or ''}"


def test_a_whole_pipeline_is_tried_with_the_backend_that_github_has(
    laptop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULUMI_BACKEND_URL", "file:///mine")
    held(laptop, prod=HOLDS, prod_preview=HOLDS)
    code, said = checked()
    assert code == 0, said
    assert "The GitHub environments prod and prod-preview hold what prod needs." in said
    asked = (laptop / "asked.txt").read_text().splitlines()
    assert [line.split()[0] for line in asked if not line.startswith("version")] == ["whoami", "stack", "config"]
    assert {line.split()[-1] for line in asked if not line.startswith("version")} == {"s3://state?region=eu-central-1"}


def test_what_is_amiss_in_either_is_told_and_nothing_is_tried(laptop: Path) -> None:
    held(laptop, prod=HOLDS | {"secret": {"TYPO": ""} | HOLDS["secret"]}, prod_preview=HOLDS | {"secret": {}})
    code, said = checked()
    assert code == 1
    assert "• TYPO is superfluous: no workflow reads it; remove it from the GitHub environment prod.\n" in said
    assert "✗ KUBECONFIG is missing: add it to the secrets of the GitHub environment prod-preview, since" in said
    assert not (laptop / "asked.txt").exists()


def test_what_the_repository_holds_counts_for_each_environment(laptop: Path) -> None:
    held(laptop, **{"": HOLDS}, prod=EMPTY, prod_preview=EMPTY)
    assert checked()[0] == 0


def test_an_environment_that_github_does_not_have_is_told(laptop: Path) -> None:
    held(laptop, prod=HOLDS)
    code, said = checked()
    assert code == 1
    assert "GitHub has no environment prod-preview that you may see" in said


def test_without_gh_it_says_how_to_get_it(laptop: Path) -> None:
    assert "`gh` is not on PATH: install it and `gh auth login`." in checked()[1]


def test_a_cluster_that_does_not_answer_is_told(laptop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object) -> None:
        raise ClusterUnavailableError("The cluster is away.")

    monkeypatch.setattr(KubernetesClient, "labels", away)
    held(laptop, prod=HOLDS, prod_preview=HOLDS)
    code, said = checked()
    assert code == 1
    assert "The cluster is away." in said


class Renewed(Login):
    """A login that counts how often its tokens were renewed."""

    def __init__(self, directory: Path) -> None:
        super().__init__(of_job("prod", {}), {}, directory)
        self.times = 0

    def renew(self) -> None:
        self.times += 1


def test_tokens_are_renewed_as_long_as_a_command_runs(laptop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "RENEWAL_SECONDS", 0.05)
    login, go_on = Renewed(laptop), laptop / "go-on"

    def allow() -> None:
        deadline = time.monotonic() + 20
        while login.times < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
        go_on.touch()

    threading.Thread(target=allow).start()
    status = cli._attended(["bash", "-c", f"while ! [ -e {go_on} ]; do sleep 0.01; done; exit 3"], login)
    assert (status, login.times >= 3) == (3, True)


def test_an_interrupt_reaches_all_that_the_command_started_and_its_end_is_awaited(laptop: Path) -> None:
    script = f"trap 'echo ended >{laptop}/said; exit 7' INT; touch {laptop}/begun; while :; do sleep 0.05; done"

    def interrupt() -> None:
        while not (laptop / "begun").exists():
            time.sleep(0.01)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        threading.Thread(target=interrupt).start()
        assert cli._attended(["bash", "-c", script], Renewed(laptop)) == 7
    finally:
        signal.signal(signal.SIGINT, before)
    assert (laptop / "said").read_text() == "ended\n"
