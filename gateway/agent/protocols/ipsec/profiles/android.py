"""For strongSwan's app on Android: a profile (.sswan; strongSwan, "Android VPN Client Profiles")."""

import base64
import json
import uuid

from gateway.agent.protocols.ipsec.profiles.identity import NAME, Identity
from gateway.agent.settings import AgentSettings

PASSWORD = "meshgate"  # noqa: S105 - it hides nothing; the app asks for it
LARGEST_MTU = 1500


def profile(identity: Identity, settings: AgentSettings) -> str:
    """The profile; without a private key the app asks which of its own certificates it shall take."""
    bundle = identity.pkcs12(PASSWORD)
    own = {"p12": base64.b64encode(bundle).decode()} if bundle else {}
    return json.dumps(
        {
            "uuid": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{identity.host}/{identity.name}")),
            "name": f"{NAME} {identity.host}",
            "type": "ikev2-cert",
            "remote": {
                "addr": identity.host,
                "id": identity.host,
                "cert": base64.b64encode(identity.ca_der).decode(),
            },
            "local": {"id": identity.name, **own},
            "mtu": min(settings.mtu, LARGEST_MTU),
        },
        indent=2,
    )
