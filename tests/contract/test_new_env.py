"""`make new-env` as a user runs it: real Pulumi, API server and Headscale, in a copy of the work tree."""

import os
import pty
import select
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.settings.loading import load
from lab import paths
from lab.pulumi import plugin, pulumi_host
from tests.contract.apiserver import ApiServer
from tests.contract.programs import asked
from tests.contract.pulumi_engine import Run
from tests.contract.real_headscale import RealHeadscale
from tests.contract.test_program_errors import JUNE, ORCHESTRATOR, UNKNOWN_KEY, api, core
from tests.deadlines import wait_for
from tests.unit.docs.commands import bash, console

__all__ = ["api"]

pytestmark = pytest.mark.timeout(900)  # the first run on a machine builds Pulumi, the API server and Headscale

NAME, FILE = "staging", "Pulumi.staging.yaml"
PASSPHRASE = "a passphrase that nobody shall read"
PATIENCE_S = 60
PROGRAM = ("__main__.py", "Pulumi.yaml", "pyproject.toml", "infra", "gateway", "examples")
COMMANDS = ("console", "environments", "policy", "review")
DIGEST = f"sha256:{'0' * 64}"
IMAGES = {"image": f"acme/gateway@{DIGEST}", "tailscale_image": f"tailscale/tailscale:v1.102.3@{DIGEST}"}
GATEWAY: dict[str, object] = {"name": "one", "endpoint": "vpn.example.com:31820", **IMAGES}


@dataclass(frozen=True)
class World:
    """A work tree of the user's own, with a backend that is empty, before a cluster and a Headscale."""

    api: ApiServer
    headscale: RealHeadscale
    api_key: str
    directory: Path
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def file(self) -> Path:
        return self.directory / FILE

    @property
    def stack(self) -> Path:
        return self.directory / "state" / ".pulumi" / "stacks" / "meshgate" / f"{NAME}.json"

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "PATH": os.pathsep.join((str(pulumi_host.find()), str(Path(sys.executable).parent), os.environ["PATH"])),
            "KUBECONFIG": str(self.api.kubeconfig),
            "PULUMI_HOME": str(self.directory / "home"),
            "PULUMI_BACKEND_URL": f"file://{self.directory / 'state'}",
            "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE,
            "PULUMI_CONFIG_PASSPHRASE_FILE": "",
            "TMPDIR": str(self.directory / "tmp"),
            "COLUMNS": "120",
            **self.variables,
        }

    def answers(self, **changes: object) -> dict[str, Any]:
        good = {
            "namespace": "meshgate-staging",
            "protect": False,
            "headscale": {"managed": False, "url": self.headscale.url},
            "headscale_api_key": self.api_key,
            "gateways": [GATEWAY],
            "orchestrator": {"deployment": ORCHESTRATOR},
        }
        return good | changes

    def start(self, *options: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "environments", "new", NAME, *options]
        return asked(command, self.directory, self.environment)

    def new(self, answers: object) -> Run:
        """With the answers on standard input, as a secret manager would give them."""
        with self.start("--answers", "-") as process:
            text, _ = process.communicate(yaml.safe_dump(answers), timeout=120)
        for secret in (self.api_key, UNKNOWN_KEY, PASSPHRASE):
            assert secret not in text
        return Run(process.returncode, text)

    def refusal(self, answers: object) -> str:
        """What a run says that must fail and write nothing."""
        done = self.new(answers)
        assert done.code == 1, done.text
        assert self.untouched()
        assert "Traceback" not in done.text
        return words(done.text).rpartition("✗ ")[2]

    def untouched(self) -> bool:
        return not list(self.directory.glob("*Pulumi.*staging*")) and not self.stack.exists()

    def settings(self) -> dict[str, Any]:
        config = yaml.safe_load(self.file.read_text())["config"]
        return {key.removeprefix("meshgate:"): value for key, value in config.items()}

    def assert_whole(self) -> None:
        """The stack file can be read by Pulumi, with its secret, and has no clear text of it; the stack is there."""
        assert self.stack.exists()
        assert self.api_key not in self.file.read_text()
        assert list(self.settings()["headscale_api_key"]) == ["secure"]
        key = self.pulumi("config", "get", "headscale_api_key", f"--stack={NAME}")
        assert key == self.api_key
        load((self.settings() | {"headscale_api_key": key}).get)
        assert [file.name for file in self.directory.glob(".Pulumi*")] == []

    def pulumi(self, *arguments: str) -> str:
        return self.bash(shlex.join(("pulumi", *arguments, "--non-interactive"))).strip()

    def bash(self, script: str, stdin: str = "") -> str:
        """What a script prints that runs in the work tree."""
        return bash(script, self.directory, self.environment, stdin)


def words(text: str) -> str:
    """A text that may be wrapped anywhere, on one line."""
    return " ".join(text.split())


@pytest.fixture
def world(api: ApiServer, headscale: RealHeadscale, api_key: str, tmp_path: Path) -> World:
    ignored = shutil.ignore_patterns("__pycache__")
    for name in PROGRAM + COMMANDS:
        source = paths.REPOSITORY / name
        if source.is_dir():
            shutil.copytree(source, tmp_path / name, ignore=ignored)
        else:
            shutil.copy(source, tmp_path / name)
    (tmp_path / ".venv").symlink_to(sys.prefix)
    for name in ("state", "tmp"):
        (tmp_path / name).mkdir()
    plugin.write_stand_in(tmp_path / "home" / "plugins" / plugin.DIRECTORY)
    return World(api, headscale, api_key, tmp_path)


def test_right_answers_make_an_environment_that_can_be_brought_up(world: World) -> None:
    done = world.new(world.answers())
    assert done.code == 0, done.text
    assert "+ meshgate:access:Gateway one create" in words(done.text)
    assert f"`pulumi up --stack {NAME}` makes it." in words(done.text)
    world.assert_whole()
    assert world.settings()["gateways"] == [GATEWAY]
    assert world.settings()["protect"] is False

    before = world.file.read_bytes()
    again = world.new(world.answers(namespace="other"))
    assert again.code == 1
    assert f"The environment {NAME} exists and is not overwritten: change {FILE} or use `pulumi config set`" in words(
        again.text
    )
    assert world.file.read_bytes() == before


def test_a_managed_headscale_has_no_secret_and_only_what_differs_is_written(world: World) -> None:
    image = f"headscale/headscale:0.29.3@{DIGEST}"
    own = {"managed": True, "url": "https://headscale.example.com", "node_port": 30080, "image": image}
    done = world.new(
        {
            "headscale": own | {"storage": "1Gi"},
            "gateways": [GATEWAY | {"exposure": "NodePort", "mtu": 1280}],
            "namespace": "headscale",
            "create_namespace": True,
            "orchestrator": {},
            "protect": True,
        }
    )
    assert done.code == 0, done.text
    assert world.settings() == {"headscale": own, "gateways": [GATEWAY], "protect": True}
    assert world.stack.exists()


def test_the_preview_is_held_to_the_rules(world: World) -> None:
    """What the answers alone do not show, the preview does."""
    done = world.new(world.answers(gateways=[GATEWAY | {"endpoint": "127.0.0.1:31820"}]))
    assert done.code == 1
    said = words(done.text)
    assert "+ meshgate:access:Gateway one create" in said
    assert f"{FILE} is written, but a deployment would refuse it by these rules (docs/policies.md): " in said
    assert (
        "endpoint-set: WorkloadEnv env: HEADSCALE_SERVER_ENDPOINT is 127.0.0.1:31820, which no client reaches" in said
    )
    assert f"Put them right, then `make preview STACK={NAME} POLICY_PACK=policy`." in said
    world.assert_whole()


def test_an_example_becomes_an_environment_by_the_documentation(world: World) -> None:
    copy, init, set_key, preview, _ = console("docs/environments.md", "From an example")
    world.bash(f"{copy}\n{init}\n{set_key}", stdin=world.api_key)
    file = world.directory / "Pulumi.prod.yaml"
    text = file.read_text().replace("https://headscale.example.com", world.headscale.url)
    file.write_text(text.replace("context: june", "context: lab"))
    # June's Headscale is in it, whoever made it.
    core(world.api).create_namespace({"metadata": {"name": "headscale"}})
    try:
        assert "+ meshgate:access:Gateway prod create" in words(world.bash(preview))
    finally:
        core(world.api).delete_namespace("headscale")
        wait_for(lambda: "headscale" not in _namespaces(world.api), "the end of the namespace", within=30)


def _namespaces(server: ApiServer) -> list[str]:
    return [one.metadata.name for one in core(server).list_namespace().items]


Change = Callable[[World], dict[str, object]]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda _: {"cluster": {"context": "elsewhere"}}, "context elsewhere of the kubeconfig cannot be used"),
        (lambda _: {"namespace": "payments"}, "Namespace payments exists and is not this stack's"),
        (
            lambda _: {"headscale": {"managed": False, "url": "http://127.0.0.1:1"}},
            "Headscale at http://127.0.0.1:1 cannot be reached",
        ),
        (lambda _: {"headscale_api_key": UNKNOWN_KEY}, "does not accept the API key (401)"),
        (
            lambda _: {"gateways": [GATEWAY | {"endpoint": "127.0.0.1:31999"}]},
            "Node port 31999 is taken by Service default/theirs; choose another one of 30000-32767.",
        ),
        (lambda _: {"orchestrator": {"deployment": "june"}}, f"Deployment {JUNE}/june does not exist"),
        (
            lambda _: {"orchestrator": {"deployment": ORCHESTRATOR, "container": "main"}},
            f"Deployment {JUNE}/{ORCHESTRATOR} has no container 'main' but orchestrator",
        ),
        (
            lambda _: {"gateways": [GATEWAY | {"client_networks": ["10.42.8.0/24"]}]},
            "gateways[0].client_networks 10.42.8.0/24 overlaps 10.42.0.0/16 of cluster.pod_networks; choose a free",
        ),
        (
            lambda _: {"cluster": {"pod_networks": ["10.244.0.0/16"]}},
            "meshgate:cluster.pod_networks: the cluster itself uses 10.42.0.0/16, which is not in 10.244.0.0/16",
        ),
        (lambda _: {"namespaces": "x"}, "meshgate:namespaces: there is no such setting"),
        (lambda _: {"protect": None}, "meshgate:protect: it is missing; write true to have Pulumi keep"),
        (
            lambda _: {"gateways": [GATEWAY | {"image": "acme/gw:1"}]},
            "meshgate:gateways[0].image: acme/gw:1 has no digest; write acme/gw:1@sha256:…, as `docker push` prints",
        ),
    ],
)
def test_a_wrong_answer_ends_with_a_sentence_and_nothing_is_written(
    world: World, change: Change, sentence: str
) -> None:
    _ensure_others(world)
    assert sentence in world.refusal(world.answers(**change(world)))


def _ensure_others(world: World) -> None:
    """What is of others in the cluster, and how kubeadm tells its networks."""
    cluster = core(world.api)
    if "payments" in [one.metadata.name for one in cluster.list_namespace().items]:
        return
    cluster.create_namespace({"metadata": {"name": "payments"}})
    port = {"name": "wireguard", "port": 51820, "nodePort": 31999, "protocol": "UDP"}
    cluster.create_namespaced_service(
        "default", {"metadata": {"name": "theirs"}, "spec": {"type": "NodePort", "ports": [port]}}
    )
    configuration = yaml.safe_dump({"networking": {"podSubnet": "10.42.0.0/16", "serviceSubnet": "10.96.0.0/12"}})
    cluster.create_namespaced_config_map(
        "kube-system", {"metadata": {"name": "kubeadm-config"}, "data": {"ClusterConfiguration": configuration}}
    )


def test_without_a_passphrase_nothing_is_asked(world: World) -> None:
    world.variables["PULUMI_CONFIG_PASSPHRASE"] = ""
    assert "There is no passphrase to encrypt the secrets of staging with: set" in world.refusal(world.answers())


def test_a_passphrase_file_that_is_not_there(world: World) -> None:
    world.variables["PULUMI_CONFIG_PASSPHRASE"] = ""
    world.variables["PULUMI_CONFIG_PASSPHRASE_FILE"] = "/nowhere/passphrase"
    assert "PULUMI_CONFIG_PASSPHRASE_FILE names /nowhere/passphrase, which is not there" in world.refusal(
        world.answers()
    )


def test_without_a_backend_nothing_is_asked(world: World) -> None:
    world.variables["PULUMI_BACKEND_URL"] = "file:///nowhere/at/all"
    assert "Pulumi has no backend to keep the state in: `pulumi login` to one" in world.refusal(world.answers())


def test_a_stack_of_somebody_whose_file_is_not_here(world: World) -> None:
    world.pulumi("stack", "init", NAME)
    world.file.unlink()
    done = world.new(world.answers())
    assert done.code == 1
    assert f"The backend has a stack {NAME} already, but {FILE} is not here" in words(done.text)
    assert not world.file.exists()


@pytest.mark.parametrize(
    "moment",
    [
        lambda world: list((world.directory / "tmp").glob("*/Pulumi.yaml")),
        lambda world: list((world.directory / "tmp").glob("*/Pulumi.staging.yaml")),
        lambda world: world.file.exists(),
        lambda world: world.stack.exists(),
    ],
    ids=["before its own files", "with its own files", "with the stack file", "with the stack"],
)
def test_killed_at_any_moment_it_leaves_nothing_half_made(world: World, moment: Callable[[World], object]) -> None:
    with world.start("--answers", "-") as process:
        assert process.stdin is not None
        process.stdin.write(yaml.safe_dump(world.answers()))
        process.stdin.close()
        wait_for(lambda: moment(world), "the moment", within=60)
        os.killpg(process.pid, signal.SIGKILL)
    if world.file.exists():
        assert "encryptionsalt" in yaml.safe_load(world.file.read_text())
        assert "secure" in world.settings()["headscale_api_key"]
    again = world.new(world.answers())
    assert again.code == 0 or "exists and is not overwritten" in words(again.text), again.text
    world.assert_whole()


# At a terminal


class Terminal:
    """A pseudo terminal with `new` in it."""

    def __init__(self, world: World) -> None:
        self.shown = ""
        self._pid, self._fd = pty.fork()
        if self._pid == 0:
            os.chdir(world.directory)
            os.execve(sys.executable, [sys.executable, "-m", "environments", "new", NAME], world.environment)  # noqa: S606

    def answer(self, question: str, text: str) -> None:
        self.wait_for(question)
        os.write(self._fd, text.encode() + b"\n")

    def wait_for(self, text: str) -> None:
        seen = len(self.shown)
        while text not in self.shown[seen:]:
            assert self._read(), f"{text!r} does not come:\n{self.shown}"

    def _read(self) -> bool:
        """Whether more came; nothing does when the other end is closed."""
        if not select.select([self._fd], [], [], PATIENCE_S)[0]:
            return False
        try:
            part = os.read(self._fd, 4096)
        except OSError:
            return False
        self.shown += part.decode(errors="replace")
        return True

    def press_ctrl_c(self) -> None:
        """Once the program waits for an answer: Python's input() forgets a signal that comes just before it reads."""
        wait_for(self._asleep, "the program's wait for an answer", PATIENCE_S)
        os.write(self._fd, b"\x03")

    def _asleep(self) -> bool:
        """By its state, which stands behind its name: proc(5)."""
        return Path(f"/proc/{self._pid}/stat").read_text().rpartition(")")[2].split()[0] == "S"

    def end(self) -> int:
        while self._read():
            pass
        _, status = os.waitpid(self._pid, 0)
        os.close(self._fd)
        return os.waitstatus_to_exitcode(status)


def test_a_person_is_asked_again_and_the_key_is_never_shown(world: World) -> None:
    terminal = Terminal(world)
    terminal.answer("Context of the kubeconfig", "elsewhere")
    terminal.answer("Context of the kubeconfig", "")
    terminal.answer("Does the stack make its namespace", "")
    terminal.answer("Namespace", "meshgate-staging")
    terminal.answer("Must it refuse", "")
    terminal.answer("Are its gateways exit nodes", "")
    terminal.answer("Is there a Headscale already?", "yes")
    terminal.answer("Its URL", world.headscale.url)
    terminal.answer("PEM file", "")
    terminal.answer("An API key", UNKNOWN_KEY)
    terminal.answer("An API key", world.api_key)
    terminal.answer("Name of gateway 1", "one")
    terminal.answer("How clients reach it", "")
    terminal.answer("Endpoint", "vpn.example.com:51820")
    terminal.answer("Endpoint", "vpn.example.com:31820")
    terminal.answer("Client networks", "")
    terminal.answer("Its image", "acme/gateway:0.1.0")
    terminal.answer("Its image", IMAGES["image"])
    terminal.answer("Digest of tailscale/tailscale:v1.102.3", DIGEST)
    terminal.answer("Another gateway", "")
    terminal.answer("Deployment", f"{JUNE}/june")
    terminal.answer("Its container", "")
    terminal.answer("Deployment", f"{JUNE}/{ORCHESTRATOR}")
    terminal.answer("Its container", "")
    assert terminal.end() == 0, terminal.shown
    for sentence in (
        "context elsewhere of the kubeconfig cannot be used",
        "does not accept the API key (401)",
        "endpoint port 51820 is no NodePort",
        "acme/gateway:0.1.0 is no image by digest",
        f"Deployment {JUNE}/june does not exist",
        f"`pulumi up --stack {NAME}` makes it.",
    ):
        assert sentence in words(terminal.shown)
    for secret in (world.api_key, UNKNOWN_KEY, PASSPHRASE):
        assert secret not in terminal.shown
    world.assert_whole()


def test_ctrl_c_at_a_question_leaves_nothing(world: World) -> None:
    terminal = Terminal(world)
    terminal.answer("Context of the kubeconfig", "")
    terminal.wait_for("Does the stack make its namespace")
    terminal.press_ctrl_c()
    assert terminal.end() == 130
    assert "Interrupted. Nothing is half-made" in terminal.shown
    assert world.untouched()
