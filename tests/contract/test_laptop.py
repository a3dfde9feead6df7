"""The way without the lab: the documented commands in a fresh clone, with no program on PATH that macOS lacks.

What is Linux's own is out of reach too: no Python program can open /proc, and there are no abstract sockets.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from console import project
from lab import paths
from lab.pulumi import plugin, pulumi_host
from lab.tools import pinned_tools
from tests.contract.apiserver import ApiServer
from tests.contract.pulumi_engine import Run
from tests.contract.real_headscale import RealHeadscale, running_headscale
from tests.contract.test_new_env import DIGEST, IMAGES, words
from tests.contract.test_program_errors import ORCHESTRATOR, api
from tests.unit.docs.commands import console

__all__ = ["api"]

pytestmark = pytest.mark.timeout(900)  # the first run on a machine builds Pulumi, the API server and Headscale

OF_MACOS = """
awk basename bash cat chmod cp curl cut date dirname env expr false find git grep head id kill ln ls make mkdir mktemp
mv openssl printf ps pwd python3 rm rmdir sed sh sleep sort stat tail tee test touch tr true uname uniq wc which xargs
"""
"""Programs that come with macOS and its developer tools; python3 is the one thing more that a reader installs."""

WITHOUT_LINUX = """
import os, sys

def refuse(event, arguments):
    what = arguments[1] if event == "socket.bind" else arguments[0] if arguments else None
    if event in ("open", "os.listdir", "os.scandir") and isinstance(what, (str, bytes, os.PathLike)):
        if os.fsdecode(what).startswith("/proc"):
            raise FileNotFoundError(2, "No such file or directory", what)
    if event == "socket.bind" and isinstance(what, (str, bytes)) and os.fsencode(what).startswith(b"\\0"):
        raise OSError(22, "Invalid argument")

sys.addaudithook(refuse)
"""


@dataclass(frozen=True)
class Laptop:
    """A home directory with a clone in it, before a cluster and a Headscale."""

    home: Path
    api: ApiServer
    headscale: RealHeadscale
    api_key: str

    @property
    def clone(self) -> Path:
        return self.home / "meshgate"

    @property
    def environment(self) -> dict[str, str]:
        # The host that the lab can build is older than `virtualenv` in Pulumi.yaml. Of a current one it comes first.
        search = (self.clone / ".venv" / "bin", self.home / "programs", pulumi_host.find())
        passed = {name: value for name, value in os.environ.items() if name.startswith(("UV_", "SSL_", "PIP_"))}
        return {
            **passed,
            "PATH": os.pathsep.join(map(str, search)),
            "HOME": str(self.home),
            "PULUMI_HOME": str(self.home / ".pulumi"),  # by itself it goes by the password file, not by HOME
            "KUBECONFIG": str(self.api.kubeconfig),
            "PYTHONPATH": str(self.home / "without-linux"),
            "XDG_CACHE_HOME": str(paths.cache().parent),  # what uv has fetched already
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "COLUMNS": "120",
        }

    def run(self, script: str, stdin: str = "", **variables: str) -> Run:
        done = subprocess.run(
            ["/bin/bash", "-euc", script],
            cwd=self.clone,
            env=self.environment | variables,
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=400,
            check=False,
        )
        assert self.api_key not in done.stdout
        assert "Traceback" not in done.stdout
        return Run(done.returncode, done.stdout)

    def said(self, script: str, stdin: str = "") -> str:
        done = self.run(script, stdin)
        assert done.code == 0, done.text
        return words(done.text)


@pytest.fixture(scope="module")
def laptop(api: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laptop]:
    home = tmp_path_factory.mktemp("home")
    subprocess.run(["git", "clone", "-q", str(project.REPOSITORY), str(home / "meshgate")], check=True)
    (home / "programs").mkdir()
    for name in OF_MACOS.split():
        # On PATH there may be a version manager's shim, which needs more programs than there are here.
        found = Path(sys.executable).resolve() if name == "python3" else shutil.which(name)
        assert found, f"{name} is missing"
        (home / "programs" / name).symlink_to(found)
    (home / "without-linux").mkdir()
    (home / "without-linux" / "sitecustomize.py").write_text(WITHOUT_LINUX)
    plugin.write_stand_in(home / ".pulumi" / "plugins" / plugin.DIRECTORY)
    with running_headscale(tmp_path_factory.mktemp("headscale"), pinned_tools.HEADSCALE) as headscale:
        key = headscale.new_api_key(datetime.now(UTC) + timedelta(days=60))
        made = Laptop(home, api, headscale, key)
        assert made.run("python3 -c 'open(\"/proc/self/stat\")' 2>/dev/null || echo none").text == "none\n"
        assert made.run("command -v timeout || echo none").text == "none\n"
        yield made


def by_hand() -> list[str]:
    """The README's way by hand, up to the preview."""
    section = console("README.md", "Your own cluster and your own June")
    return [one for one in section[: section.index("pulumi up")] if one != "make new-env NAME=prod"]


@pytest.fixture(scope="module")
def prepared(laptop: Laptop) -> Laptop:
    """A stack `prod` by the README's block, word by word but for the Headscale's address, and without the `up`.

    For the other way, answers to `make new-env` lie beside it.
    """
    script = "\n".join(by_hand()).replace("https://headscale.example.com", laptop.headscale.url)
    assert "+ meshgate:access:Gateway prod create" in laptop.said(script, stdin=laptop.api_key)
    answers = {
        "namespace": "meshgate-staging",
        "protect": False,
        "headscale": {"managed": False, "url": laptop.headscale.url},
        "headscale_api_key": laptop.api_key,
        "gateways": [{"name": "staging", "endpoint": "vpn.example.com:31820"} | IMAGES],
    }
    (laptop.clone / "answers.yaml").write_text(yaml.safe_dump(answers))
    return laptop


USERS = "export PULUMI_BACKEND_URL=file://$HOME PULUMI_CONFIG_PASSPHRASE_FILE=~/.meshgate-passphrase\n"


def test_the_readmes_block_makes_a_stack_in_a_fresh_clone(prepared: Laptop) -> None:
    written = yaml.safe_load((prepared.clone / "Pulumi.prod.yaml").read_text())["config"]
    assert "secure" in written["meshgate:headscale_api_key"]
    assert (prepared.home / ".meshgate-passphrase").stat().st_mode & 0o077 == 0
    prepared.said(".venv/bin/python -m pip --version")  # Pulumi asks it which plugins the program needs


def test_a_passphrase_that_is_there_is_kept(prepared: Laptop) -> None:
    (make_it,) = (command for command in by_hand() if "openssl" in command)
    before = (prepared.home / ".meshgate-passphrase").read_text()
    prepared.said(make_it)
    assert (prepared.home / ".meshgate-passphrase").read_text() == before


def test_an_environment_is_made_and_reviewed_by_the_rules(prepared: Laptop) -> None:
    said = prepared.said(f"{USERS}make new-env NAME=staging ANSWERS=answers.yaml")
    assert "`pulumi up --stack staging` makes it." in said

    review = f"{USERS}make preview STACK=staging POLICY_PACK=policy FORMAT=markdown"
    assert "<!-- verdicts: staging=changes -->" in prepared.said(review)
    prepared.said(f"{USERS}pulumi config set --stack staging --path 'gateways[0].image' acme/gateway:1")
    refused = prepared.run(review)
    assert refused.code != 0
    assert "<!-- verdicts: staging=failed -->" in refused.text
    assert "image-by-digest: Deployment staging-gateway: image acme/gateway:1 of container agent" in refused.text
    prepared.said(f"{USERS}pulumi config set --stack staging --path 'gateways[0].image' acme/gateway:1@{DIGEST}")
    prepared.said(review)


@pytest.mark.parametrize("command", ["make preview STACK=prod", "make new-env NAME=other"])
def test_without_pulumi_it_is_told_how_to_get_it(prepared: Laptop, tmp_path: Path, command: str) -> None:
    told = "✗ Pulumi is not on PATH: `curl -fsSL https://get.pulumi.com | sh` gets it."
    assert told in words(prepared.run(f"{USERS}{command}", PATH=str(prepared.home / "programs")).text)
    old = tmp_path / "pulumi"
    old.write_text("#!/bin/sh\necho v3.181.0\n")
    old.chmod(0o755)
    done = prepared.run(f"{USERS}{command}", PATH=f"{tmp_path}:{prepared.home / 'programs'}")
    assert done.code != 0
    assert f"✗ {old} is Pulumi 3.181.0, and 3.182.0 or newer (below 4.0.0) is needed: " in words(done.text)


def test_without_a_kubeconfig_it_is_told_what_to_set(prepared: Laptop, tmp_path: Path) -> None:
    script = f"{USERS}make new-env NAME=other ANSWERS=answers.yaml"
    done = prepared.run(script, KUBECONFIG=str(tmp_path / "none"))
    assert done.code != 0
    assert "set KUBECONFIG to a kubeconfig that works" in words(done.text)
    assert not (prepared.clone / "Pulumi.other.yaml").exists()


def test_a_python_that_is_too_old_is_told(laptop: Laptop, tmp_path: Path) -> None:
    old = tmp_path / "python3"
    old.write_text(
        "#!/bin/sh\n"
        'exec python3 -c "import platform, sys; sys.version_info = (3, 9, 6); '
        'platform.python_version = lambda: \'3.9.6\'; exec(sys.argv[1])" "$2"\n'
    )
    old.chmod(0o755)
    script = (
        f"rm -rf {tmp_path}/clone && git clone -q . {tmp_path}/clone && make -C {tmp_path}/clone setup PYTHON={old}"
    )
    done = laptop.run(script)
    assert done.code != 0
    assert f"Meshgate needs Python 3.11 or newer, and {old} is 3.9.6: install it" in words(done.text)
    assert not (tmp_path / "clone" / ".venv").exists()


def test_the_orchestrator_of_the_readme_is_the_one_that_is_there() -> None:
    assert f"pulumi config set --path orchestrator.deployment {ORCHESTRATOR}" in by_hand()
