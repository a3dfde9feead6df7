"""A stack's state in a bucket of an S3-compatible server: the backend URL of docs/environments.md, on versitygw."""

import base64
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab import paths
from lab.pulumi import pulumi_host
from lab.tools import go_builds, pinned_tools
from tests.contract.programs import asked, free_port, listens, running
from tests.deadlines import wait_for
from tests.unit.docs.commands import bash, console

pytestmark = pytest.mark.timeout(900)  # the first run on a machine builds Pulumi and the server

BUCKET, STACK, API_KEY = "meshgate-state", "prod", "an-api-key-that-nobody-shall-read"
PROGRAM = """
import os, time
import pulumi
from infra.resources.token import Token

while not os.path.exists(os.environ["MAY_END"]):
    time.sleep(0.05)
pulumi.export("token", Token("token").value)
pulumi.export("api_key", pulumi.Config("meshgate").require_secret("headscale_api_key"))
"""


@dataclass(frozen=True)
class Server:
    """A running S3 server and where it keeps its objects; the URL is what the documentation says."""

    objects: Path
    port: int
    credentials: Mapping[str, str]

    @property
    def documented(self) -> tuple[str, str]:
        """The documentation's server, and this one in its place."""
        return "https://s3.example.com", f"http://127.0.0.1:{self.port}"

    @property
    def backend(self) -> str:
        export = console("docs/environments.md", "State")[2]
        return export.partition("=")[2].strip("'").replace(*self.documented)


@contextmanager
def s3_server(directory: Path) -> Iterator[Server]:
    objects = directory / "objects"
    (objects / BUCKET).mkdir(parents=True)
    port = free_port()
    access, secret = secrets.token_hex(8), secrets.token_hex(20)
    command = [
        str(go_builds.resolve(pinned_tools.VERSITYGW)),
        "--port",
        f"127.0.0.1:{port}",
        "--region",
        "eu-central-1",
    ]
    log = directory / "versitygw.log"
    root = {"ROOT_ACCESS_KEY_ID": access, "ROOT_SECRET_ACCESS_KEY": secret}
    with running([*command, "posix", str(objects)], log, **root):
        wait_for(lambda: listens(port), "versitygw", within=20, log=log)
        yield Server(objects, port, {"AWS_ACCESS_KEY_ID": access, "AWS_SECRET_ACCESS_KEY": secret})


class Project:
    """A small program with a secret of its own, a secret setting, and Pulumi as a user runs it."""

    def __init__(self, directory: Path, server: Server) -> None:
        self.directory = directory
        self._programs = pulumi_host.find()
        self.may_end = directory / "may-end"
        (directory / "Pulumi.yaml").write_text("name: meshgate\nruntime: python\n")
        (directory / "__main__.py").write_text(PROGRAM)
        self.environment = {
            **os.environ,
            **server.credentials,
            "PATH": os.pathsep.join((str(self._programs), str(Path(sys.executable).parent), os.environ["PATH"])),
            "PYTHONPATH": str(paths.REPOSITORY),
            "PULUMI_HOME": str(directory / "home"),
            "PULUMI_BACKEND_URL": server.backend,
            "PULUMI_CONFIG_PASSPHRASE": "a passphrase",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "MAY_END": str(self.may_end),
        }

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        command = [str(self._programs / "pulumi"), *arguments, "--non-interactive", "--color=never"]
        return asked(command, self.directory, self.environment)

    def run(self, *arguments: str, stdin: str = "") -> tuple[int, str]:
        with self.start(*arguments) as process:
            said, _ = process.communicate(stdin, timeout=100)
        return process.returncode, said

    def bash(self, script: str, stdin: str = "") -> None:
        """A command of the documentation."""
        bash(script, self.directory, self.environment, stdin)

    def succeeds(self, *arguments: str, stdin: str = "") -> str:
        code, said = self.run(*arguments, stdin=stdin)
        assert code == 0, said
        return said


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def project(server: Server, tmp_path: Path) -> Iterator[Project]:
    project = Project(tmp_path, server)
    project.succeeds("stack", "init", STACK)
    project.succeeds("config", "set", "--secret", "headscale_api_key", stdin=API_KEY)
    yield project
    project.may_end.touch()
    project.run("cancel", "--yes", f"--stack={STACK}")
    project.run("stack", "rm", "--yes", "--force", f"--stack={STACK}")


def files(server: Server) -> dict[str, bytes]:
    """The bucket's objects."""
    bucket = server.objects / BUCKET
    return {str(file.relative_to(bucket)): file.read_bytes() for file in bucket.rglob("*") if file.is_file()}


def test_a_stacks_whole_life_in_a_bucket(server: Server, project: Project) -> None:
    project.may_end.touch()
    project.succeeds("up", "--yes", "--skip-preview")
    project.succeeds("up", "--yes", "--skip-preview", "--expect-no-changes")
    outputs = json.loads(project.succeeds("stack", "output", "--json", "--show-secrets"))
    assert outputs["api_key"] == API_KEY

    stored = files(server)
    assert any(name.endswith(f"stacks/meshgate/{STACK}.json") for name in stored), sorted(stored)
    for secret in (outputs["token"], API_KEY):
        for text in (secret, base64.b64encode(secret.encode()).decode().rstrip("=")):
            assert [name for name, content in stored.items() if text.encode() in content] == []

    project.succeeds("destroy", "--yes", "--skip-preview")
    project.succeeds("stack", "rm", "--yes", STACK)
    assert not [name for name in files(server) if name.endswith(f"{STACK}.json")]


def test_two_runs_do_not_work_on_one_stack_and_a_dead_one_lets_go(server: Server, project: Project) -> None:
    with project.start("up", "--yes", "--skip-preview") as first:
        wait_for(lambda: any("/locks/" in name for name in files(server)), "the first run's lock", within=60)
        code, said = project.run("up", "--yes", "--skip-preview")
        assert code != 0
        assert "the stack is currently locked by 1 lock(s)" in said
        first.kill()
    project.may_end.touch()
    cancel = console("docs/environments.md", "State")[3]
    project.bash(cancel.replace("staging", STACK))
    assert not any("/locks/" in name for name in files(server))
    project.succeeds("up", "--yes", "--skip-preview")


def test_a_new_passphrase_and_the_old_one_is_void(project: Project) -> None:
    project.may_end.touch()
    project.succeeds("up", "--yes", "--skip-preview")
    change = console("docs/environments.md", "Secrets")[1]
    project.bash(change.replace("staging", STACK), stdin="a new passphrase\n")
    assert "incorrect passphrase" in project.run("preview")[1]
    project.environment["PULUMI_CONFIG_PASSPHRASE"] = "a new passphrase"
    project.succeeds("preview", "--expect-no-changes")


def test_a_stack_moves_into_the_bucket_by_the_documentation(server: Server, project: Project) -> None:
    """Its last block, from a directory, with its stack file as it is."""
    project.may_end.touch()
    project.environment["PULUMI_BACKEND_URL"] = f"file://{project.directory}"
    project.succeeds("stack", "init", "staging")
    project.succeeds("config", "set", "--secret", "headscale_api_key", "--stack=staging", stdin=API_KEY)
    project.succeeds("up", "--yes", "--skip-preview", "--stack=staging")
    token = project.succeeds("stack", "output", "token", "--show-secrets", "--stack=staging")
    project.bash("\n".join(console("docs/environments.md", "State")[-4:]).replace(*server.documented))
    project.environment["PULUMI_BACKEND_URL"] = server.backend
    project.succeeds("preview", "--expect-no-changes", "--stack=staging")
    assert project.succeeds("stack", "output", "token", "--show-secrets", "--stack=staging") == token
    project.succeeds("stack", "rm", "--yes", "--force", "staging")


def test_wrong_credentials_are_refused_and_told(project: Project) -> None:
    project.environment["AWS_SECRET_ACCESS_KEY"] = "0" * 40
    code, said = project.run("preview")
    assert code != 0
    assert "SignatureDoesNotMatch" in said
    assert "0" * 40 not in said
