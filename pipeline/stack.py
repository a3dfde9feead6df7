"""What the stack file of an environment says about its pipeline."""

from dataclasses import dataclass
from typing import Any

import yaml

from console import project
from console.errors import StepError
from infra.settings.loading import SettingsError, load
from infra.settings.stack import StackSettings

BY_PASSPHRASE, BY_SERVICE = "passphrase", "service"


@dataclass(frozen=True)
class Stack:
    """An environment's stack, as far as its file tells it.

    `provider` is what its secrets are encrypted with: a cloud's URL, `passphrase`, or `service`, which is Pulumi Cloud.
    """

    name: str
    provider: str
    in_cluster: bool
    context: str | None
    namespace: str

    @property
    def file(self) -> str:
        """The file's name."""
        return project.stack_file(self.name).name


def read(name: str) -> Stack:
    """The stack of this name; raises StepError when it has no file that can be read."""
    file = project.stack_file(name)
    try:
        content = yaml.safe_load(file.read_text())
    except FileNotFoundError:
        raise StepError(
            f"There is no {file.name}: commit the one of the environment {name} (docs/environments.md)."
        ) from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        raise StepError(f"{file.name} cannot be read as YAML: take it as `make new-env` or Pulumi wrote it.") from None
    if not isinstance(content, dict):
        raise StepError(f"{file.name} holds no settings: docs/environments.md says how one comes to be.")
    provider = content.get("secretsprovider") or (BY_PASSPHRASE if content.get("encryptionsalt") else BY_SERVICE)
    settings = _settings(content.get("config") or {})
    return Stack(
        name=name,
        provider=BY_SERVICE if provider == "default" else str(provider),
        in_cluster=settings is None or _in_cluster(settings),
        context=settings.cluster.context if settings else None,
        namespace=settings.namespace if settings else "default",
    )


def _settings(config: dict[str, Any]) -> StackSettings | None:
    """The settings; None of such as the preview will refuse. What a secret is does not matter here."""
    prefix = f"{project.NAME}:"
    values = {
        key.removeprefix(prefix): "secret" if isinstance(value, dict) and "secure" in value else value
        for key, value in config.items()
        if key.startswith(prefix)
    }
    try:
        return load(values.get, values)
    except SettingsError:
        return None


def _in_cluster(settings: StackSettings) -> bool:
    """Whether a part of the stack is in a cluster; machines alone need none."""
    return bool(
        settings.orchestrator
        or settings.access
        or (settings.headscale and settings.headscale.managed)
        or any(gateway.target == "kubernetes" for gateway in settings.gateways)
    )
