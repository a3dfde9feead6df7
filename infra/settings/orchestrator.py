"""The section `orchestrator`."""

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
    gateway: Name | None = None
    """Which of several gateways is that of GATEWAY_PEERS_URL, HEADSCALE_SERVER_PUBLIC_KEY and the like; the first when
    not set."""
