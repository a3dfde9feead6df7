"""The section `orchestrator`."""

from typing import Annotated

from pydantic import Field

from infra.settings.section import Section
from infra.settings.value_types import Name, ObjectName


class OrchestratorSettings(Section):
    """The Deployment that lets devices in; its env gets the gateway's key and addresses."""

    deployment: str
    """Its name."""
    namespace: ObjectName = "june-services"
    """Where it is."""
    container: ObjectName = "orchestrator"
    """The container whose env gets the names."""
    rollout_deadline: Annotated[int, Field(ge=10, le=3600)] = 300
    """Seconds that it may take to roll out with a new env."""
    gateway: Name | None = None
    """Which of several gateways is that of GATEWAY_PEERS_URL, HEADSCALE_SERVER_PUBLIC_KEY and the like; the first when
    not set."""
