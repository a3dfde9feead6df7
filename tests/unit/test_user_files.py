"""Every file that a user gives, spoiled in each way that files are: one sentence, which repeats nothing of it."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.inventory.data import InventoryData
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import inventory_loader

from console import project
from environments import answers
from environments.answers import AnswerError
from environments.checks import Checks
from environments.engine import Environment
from gateway.headscale.client import Headscale
from gateway.headscale.errors import HeadscaleError
from infra.kubernetes.client import ClusterUnavailableError, KubernetesClient
from infra.settings.loading import SettingsError, load
from playbooks.inventory_plugins import meshgate_stack
from playbooks.pulumi_stack import Stack, StackError
from policy import kept

SPOILED: dict[str, bytes | None] = {
    "missing": None,
    "a directory": b"",
    "empty": b"",
    "not text": b"\xff\xfe\x00 SECRET",
    "another encoding": "# Schlüssel SECRET\na: b\n".encode("latin-1"),
    "broken": b"a: SECRET\n  b: [",
    "a tab": b"\tSECRET: a\n",
    "a date that is none": b"SECRET: 2026-99-99\n",
    "a list": b"- SECRET\n",
    "a word": b"SECRET\n",
    "in itself": b"SECRET: &a [*a]\n",
    "of other types": b"clusters: 5\ncontexts: [SECRET]\nusers: {}\ncurrent-context: [SECRET]\n",
}


def _answers(file: Path) -> None:
    answers.whole(answers.read(file))


def _standard_input(file: Path) -> None:
    if not file.is_file():
        raise AnswerError("there is always some")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(file.read_bytes()), encoding="utf-8"))
        answers.whole(answers.read(answers.STDIN))


def _ca(file: Path) -> None:
    """As `make new-env` asks for it."""
    headscale = {"managed": True, "url": "https://headscale.example.com", "ca_certificate": answers.text(file)}
    gateway = {"name": "one", "endpoint": "vpn.example.com:31820"}
    load({"headscale": headscale, "gateways": [gateway]}.get)


def _ca_of_a_playbook(file: Path) -> None:
    """Whose file Ansible reads."""
    content = file.read_bytes().decode(errors="replace") if file.is_file() else ""
    Headscale("https://headscale.example.com", "a-key", ca_certificate=content)


def _stack_file(file: Path) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(project, "stack_file", lambda _: file)
        if not Environment("prod", Path()).written():
            raise AnswerError("it is made then")


def _passphrase(file: Path) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.delenv("PULUMI_CONFIG_PASSPHRASE", raising=False)
        patched.setenv("PULUMI_CONFIG_PASSPHRASE_FILE", str(file))
        Environment("prod", Path()).require_secrets_provider()
        raise AnswerError("any text will do")


def _kubeconfig(file: Path) -> None:
    with KubernetesClient(None, str(file)) as cluster:
        cluster.labels("/api/v1/namespaces/default")


def _contexts(file: Path) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(file))
        assert Checks("prod").contexts() == ([], None)
        raise AnswerError("the check of the answer says what is wrong")


def _project_file(file: Path) -> None:
    if file.exists():
        file.rename(file.with_name("Pulumi.yaml"))
    Stack("prod", file.parent, lambda *_: pytest.fail("it knows its project")).gateways()


def _inventory(file: Path) -> None:
    """Ansible shows the sentence, and ends."""
    source = file.with_name("meshgate_stack.yml")
    if file.exists():
        file.rename(source)
    inventory_loader.add_directory(str(Path(meshgate_stack.__file__).parent))
    plugin: Any = inventory_loader.get("meshgate_stack")
    said: list[str] = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(plugin.display, "error", said.append)
        with pytest.raises(SystemExit):
            plugin.parse(InventoryData(), DataLoader(), str(source))
    raise StackError(said[0])


def _exported_state(file: Path) -> None:
    content = file.read_bytes().decode(errors="replace") if file.is_file() else ""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("sys.stdin", io.StringIO(content))
        try:
            kept.main()
        except SystemExit as end:
            raise AnswerError(str(end)) from end


@pytest.mark.parametrize("spoiled", SPOILED)
@pytest.mark.parametrize(
    ("read", "error"),
    [
        (_answers, AnswerError),
        (_standard_input, AnswerError),
        (_ca, (AnswerError, SettingsError)),
        (_ca_of_a_playbook, HeadscaleError),
        (_stack_file, AnswerError),
        (_passphrase, AnswerError),
        (_kubeconfig, ClusterUnavailableError),
        (_contexts, AnswerError),
        (_project_file, StackError),
        (_inventory, StackError),
        (_exported_state, AnswerError),
    ],
)
def test_a_spoiled_file_is_a_sentence(
    read: Callable[[Path], None], error: type[Exception] | tuple[type[Exception], ...], spoiled: str, tmp_path: Path
) -> None:
    file = tmp_path / "given.yaml"
    if spoiled == "a directory":
        file.mkdir()
    elif (content := SPOILED[spoiled]) is not None:
        file.write_bytes(content)
    with pytest.raises(error) as refused:
        read(file)
    for sentence in str(refused.value).splitlines():
        assert "SECRET" not in sentence or "there is no such setting" in sentence
        assert "Traceback" not in sentence
    assert str(refused.value)
