"""What a key service on a machine is told besides the sections `headscale` and `mesh_clients`."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from infra.settings.section import Section
from infra.settings.value_types import PeersUrl, http_listener, url_port

HTTP_PORT = 8082
"""Where nothing says another: a gateway's agent on the same machine has 8080."""
FIRST_UNPRIVILEGED = 1024
"""The service has no capability, and so none of the ports below."""


class KeyMachineSettings(Section):
    """Where the key service of a machine answers, `meshgate_…` in the playbooks."""

    keys_url: PeersUrl | None = None
    """Where the orchestrator reaches it. It listens at the private address of an http:// URL; an https:// one needs a
    proxy on the machine."""
    keys_probe_port: Annotated[int, Field(ge=FIRST_UNPRIVILEGED, le=65535)] = 8083
    """The TCP port of /healthz, /readyz and /metrics, at the address that it listens on."""

    @property
    def listener(self) -> tuple[str, int]:
        """Address and port that it listens on."""
        return http_listener(self.keys_url, HTTP_PORT)

    @model_validator(mode="after")
    def _ports_fit(self) -> Self:
        _, port = self.listener
        if port < FIRST_UNPRIVILEGED:
            raise ValueError(
                f"keys_url has port {port}, for which the key service would need a capability; use one from "
                f"{FIRST_UNPRIVILEGED} on"
            )
        if self.keys_probe_port in {port, url_port(self.keys_url)}:
            raise ValueError(f"keys_probe_port {self.keys_probe_port} is also the port of the API; they need two ports")
        return self
