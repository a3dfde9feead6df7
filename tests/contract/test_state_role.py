"""A state in a bucket by a role, as a workflow's step has it: GitHub's token, STS's session, S3 with the page's rights.

GitHub and STS are stand-ins. S3 is real (versitygw): it asks its IAM service whether a session's token is right, and
what the session's role may do. The roles have the policies of docs/pipelines.md.
"""

import json
import re
import secrets
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from console import project
from lab import paths
from lab.pulumi import pulumi_host
from lab.tools import go_builds, pinned_tools
from pipeline import trial
from pipeline.login import REQUEST_TOKEN, REQUEST_URL, Login
from pipeline.names import of_job
from pipeline.stack import Stack
from tests.contract.programs import free_port, listens, running
from tests.contract.test_state_s3 import API_KEY, BUCKET, STACK, Project, Server, files
from tests.deadlines import wait_for

pytestmark = pytest.mark.timeout(900)  # the first run on a machine builds Pulumi and the server

ROLES = {"prod": "deploy", "prod-preview": "look"}
"""The role of each GitHub environment."""
ACCOUNT, JOBS_TOKEN = "000000000000", "the job's own token"
SESSION = """<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
<AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>{accessKeyId}</AccessKeyId>
<SecretAccessKey>{secretAccessKey}</SecretAccessKey><SessionToken>{sessionToken}</SessionToken>
<Expiration>{expiration}</Expiration></Credentials></AssumeRoleWithWebIdentityResult>
</AssumeRoleWithWebIdentityResponse>"""


def policies() -> dict[str, dict[str, Any]]:
    """What the page lets each role do."""
    page = (paths.REPOSITORY / "docs" / "pipelines.md").read_text()
    _, deploy = map(json.loads, re.findall(r"^```json\n(.*?)^```$", page, re.MULTILINE | re.DOTALL))
    first, _, *others = deploy["Statement"]
    return {"deploy": deploy, "look": deploy | {"Statement": [first, *others]}}


@dataclass(frozen=True)
class Identities:
    """GitHub, which tells who a job is, and STS, which makes a role's session of that."""

    sessions: dict[str, dict[str, str]]
    issued: set[str] = field(default_factory=set)
    named: list[str] = field(default_factory=list)
    """The sessions that were asked for."""

    def token(self, authorization: str, audience: str) -> dict[str, str]:
        """What GitHub answers to a job."""
        assert authorization == f"Bearer {JOBS_TOKEN}"
        token = f"{audience} {secrets.token_hex(8)}"
        self.issued.add(token)
        return {"value": token}

    def assumed(self, asked: dict[str, list[str]]) -> str:
        """What STS answers to a role, a token and a session's name."""
        (token,), (role,), (name,) = (asked[key] for key in ("WebIdentityToken", "RoleArn", "RoleSessionName"))
        assert token in self.issued
        assert token.startswith("sts.amazonaws.com ")
        self.named.append(name)
        return SESSION.format_map(self.sessions[role])


def served(identities: Identities) -> ThreadingHTTPServer:
    """Both on one port of loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            (audience,) = parse_qs(urlsplit(self.path).query)["audience"]
            self._answer(json.dumps(identities.token(self.headers["Authorization"], audience)))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            self._answer(identities.assumed(parse_qs(body)))

        def _answer(self, text: str) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            """Nothing: the answers are secrets."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    return server


def roles_and_sessions() -> tuple[dict[str, Any], dict[str, dict[str, str]]]:
    """As versitygw's IAM service keeps them; it would take a token from an issuer on the Internet alone."""
    begin, end = "2024-01-01T00:00:00Z", "2124-01-01T00:00:00Z"
    roles, sessions = {}, {}
    for role, policy in policies().items():
        arn, identity = f"arn:aws:iam::{ACCOUNT}:role/{role}", secrets.token_hex(8).upper()
        inline = {"PolicyName": "state", "PolicyDocument": json.dumps(policy), "CreateDate": begin}
        roles[role] = {
            "Path": "/",
            "RoleName": role,
            "RoleID": f"AROA{identity}",
            "Arn": arn,
            "CreateDate": begin,
            "AssumeRolePolicyDocument": "{}",
            "Policies": {"inline": [inline]},
        }
        sessions[arn] = {
            "accessKeyId": f"ASIA{identity}",
            "secretAccessKey": secrets.token_hex(20),
            "sessionToken": secrets.token_hex(32),
            "roleArn": arn,
            "roleName": role,
            "roleId": f"AROA{identity}",
            "roleSessionName": "session",
            "createDate": begin,
            "expiration": end,
        }
    return roles, sessions


@dataclass(frozen=True)
class World:
    """The servers, and what a job finds of them."""

    s3: Server
    identities: Identities
    port: int

    def login(self, environment: str, directory: Path) -> dict[str, str]:
        """The environment of a command in a job of this GitHub environment."""
        job = {
            REQUEST_URL: f"http://127.0.0.1:{self.port}/token?api-version=2.0",
            REQUEST_TOKEN: JOBS_TOKEN,
            "AWS_ROLE_ARN": f"arn:aws:iam::{ACCOUNT}:role/{ROLES[environment]}",
            # An endpoint in the backend's URL would be STS's too.
            "PULUMI_BACKEND_URL": f"s3://{BUCKET}?region=eu-central-1&s3ForcePathStyle=true",
            "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{self.s3.port}",
            "AWS_ENDPOINT_URL_STS": f"http://127.0.0.1:{self.port}",
        }
        directory.mkdir()
        return Login(of_job(environment, job), job, directory).environment()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory = tmp_path_factory.mktemp("role")
    objects, iam, socket = directory / "objects", directory / "iam", directory / "iam.sock"
    (objects / BUCKET).mkdir(parents=True)
    iam.mkdir()
    roles, sessions = roles_and_sessions()
    kept = {"roles": roles, "sessions": {session["accessKeyId"]: session for session in sessions.values()}}
    (iam / "iam.json").write_text(json.dumps(kept))
    versitygw, root = str(go_builds.resolve(pinned_tools.VERSITYGW)), secrets.token_hex(20)
    of_root = {"ROOT_ACCESS_KEY_ID": "root", "ROOT_SECRET_ACCESS_KEY": root}

    def started(port: int, *arguments: str) -> None:
        log = directory / f"{port}.log"
        command = [versitygw, "--port", f"127.0.0.1:{port}", "--region", "eu-central-1", *arguments]
        running_servers.enter_context(running(command, log, **of_root))
        wait_for(lambda: listens(port), "versitygw", within=20, log=log)

    with ExitStack() as running_servers:
        started(free_port(), "iam", "--dir", str(iam), "--private-ports", str(socket))
        s3 = free_port()
        started(s3, "--iam-standalone-endpoint", str(socket), "posix", str(objects))
        identities = Identities(sessions)
        server = served(identities)
        running_servers.callback(server.server_close)
        running_servers.callback(server.shutdown)
        yield World(Server(objects, s3, {}), identities, server.server_port)


@pytest.fixture
def deployed(world: World, tmp_path: Path) -> Iterator[Project]:
    """A stack that was upped by prod's role, and its project."""
    made = Project(tmp_path, world.s3)
    made.environment |= world.login("prod", tmp_path / "login")
    made.may_end.touch()
    made.succeeds("stack", "init", STACK)
    made.succeeds("config", "set", "--secret", "headscale_api_key", stdin=API_KEY)
    made.succeeds("up", "--yes", "--skip-preview")
    yield made
    made.environment |= world.login("prod", tmp_path / "last")
    made.succeeds("stack", "rm", "--yes", "--force", f"--stack={STACK}")


def test_the_role_of_an_environment_makes_and_removes_a_stack(world: World, deployed: Project) -> None:
    assert "meshgate-prod" in world.identities.named
    deployed.succeeds("refresh", "--yes")
    deployed.succeeds("destroy", "--yes")


def test_the_role_of_previews_reads_and_writes_nothing(world: World, deployed: Project, tmp_path: Path) -> None:
    before = files(world.s3)
    deployed.environment |= world.login("prod-preview", tmp_path / "preview")
    deployed.succeeds("preview", "--refresh", "--run-program", "--expect-no-changes")
    assert files(world.s3) == before
    code, said = deployed.run("up", "--yes", "--skip-preview")
    assert code != 0
    assert re.search(r"assumed-role/look/\S+ is not authorized to perform: s3:PutObject", said)
    assert files(world.s3) == before


def test_a_session_is_its_token_too(world: World, deployed: Project) -> None:
    """A secret AWS_SESSION_TOKEN reaches S3, which refuses the keys without it."""
    session = world.identities.sessions[f"arn:aws:iam::{ACCOUNT}:role/deploy"]
    del deployed.environment["AWS_WEB_IDENTITY_TOKEN_FILE"]
    deployed.environment |= {
        "AWS_ACCESS_KEY_ID": session["accessKeyId"],
        "AWS_SECRET_ACCESS_KEY": session["secretAccessKey"],
    }
    code, said = deployed.run("preview")
    assert code != 0
    assert "InvalidAccessKeyId" in said
    deployed.environment["AWS_SESSION_TOKEN"] = session["sessionToken"]
    deployed.succeeds("preview", "--expect-no-changes")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        del deployed.environment[name]


def test_the_trial_reads_by_the_role_of_previews_and_tells_what_is_wrong(
    world: World, deployed: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(project, "REPOSITORY", deployed.directory)
    stack = Stack(STACK, "passphrase", in_cluster=False, context=None, namespace="meshgate")
    before = files(world.s3)
    variables = deployed.environment | world.login("prod-preview", tmp_path / "preview")
    assert list(trial.problems(stack, pulumi_host.find(), variables)) == []
    wrong = variables | {"PULUMI_CONFIG_PASSPHRASE": "another"}
    (problem,) = trial.problems(stack, pulumi_host.find(), wrong)
    assert "incorrect passphrase" in problem
    assert files(world.s3) == before
    assert API_KEY not in "".join(capfd.readouterr())
