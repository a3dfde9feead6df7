"""The section `gateways[].previous_key`."""

from datetime import UTC, datetime

from infra.settings.section import Section
from infra.settings.value_types import Moment, Port


class PreviousKeySettings(Section):
    """The WireGuard key before the present one, by which devices with older configs still come in. Another
    `key_rotation` together with this section keeps the key that there was, and makes a new one beside it."""

    port: Port
    """The UDP port that older configs dial: that of `endpoint` before the rotation. The new key has another one."""
    until: Moment | None = None
    """When the previous key ends, such as 2027-06-01T00:00:00Z; a date is its first moment in UTC. Without it the key
    works until the section is taken out."""

    @property
    def is_over(self) -> bool:
        """Whether its time has come."""
        return self.until is not None and datetime.now(UTC) >= self.until
