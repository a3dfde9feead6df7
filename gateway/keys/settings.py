"""Settings of the key service: environment variables named MESHGATE_ and the field's name in capitals."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from gateway.agent.settings_loading import PREFIX
from gateway.agent.value_types import EVERY_ADDRESS, List, Port


def _tag(text: str) -> str:
    if not text.startswith("tag:"):
        raise ValueError(f"{text} is no tag; write it like tag:device")
    return text


class KeySettings(BaseSettings):
    """What the key service needs to know."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True)

    headscale_url: str
    """Where Headscale answers; devices dial it, too."""
    api_key_file: Path
    """Holds Headscale's API key; read for each call, so that another one counts at once.

    Headscale 0.30 knows OAuth clients that may do no more than this service does (`auth_keys`): here is their place.
    """
    ca_certificate_file: Path | None = None
    """PEM of the CA that signed Headscale's certificate, when it is not a public one."""
    user: str
    """The Headscale user of the keys; nobody else's keys are touched."""
    tags: Annotated[tuple[Annotated[str, AfterValidator(_tag)], ...], *List] = ()
    """What devices are called in Headscale's policy."""
    key_minutes: int = Field(default=10, ge=1, le=1440)
    """How long a device has to join."""
    devices_per_owner: int = Field(default=10, ge=1, le=10_000)
    """Devices of one owner that have joined, or still can."""
    keys_per_minute: int = Field(default=60, ge=1, le=10_000)
    """Keys that one address can have minted in a minute."""
    token_file: Path
    """Holds the bearer tokens with their scopes; read again when it changes."""
    http_host: str = EVERY_ADDRESS
    """The orchestrator is in another pod; a token guards the API."""
    http_port: Port = 8080
    probe_port: Port = 8081
    """TCP port of /healthz, /readyz and /metrics, at the same address."""

    @property
    def lifetime(self) -> timedelta:
        """Of a key."""
        return timedelta(minutes=self.key_minutes)
