"""The gateway's own key pair: its two halves reach the agent by two ways, and must fit."""

from gateway.agent.command import CommandError
from gateway.agent.endpoints import WireGuardIdentity
from gateway.agent.protocols.wireguard.wg import public_key_of
from gateway.agent.settings_loading import PREFIX, SettingsError, read_secret


async def check_key_pair(identity: WireGuardIdentity, prefix: str = PREFIX) -> None:
    """SettingsError unless the private key belongs to the declared public key; `prefix` begins their settings."""
    private_key = read_secret(f"{prefix}PRIVATE_KEY_FILE", identity.private_key_file)
    try:
        public_key = await public_key_of(private_key)
    except CommandError as error:
        raise SettingsError(
            f"{prefix}PRIVATE_KEY_FILE: no public key follows from what {identity.private_key_file} holds, "
            f"and it should be a WireGuard private key ({error})"
        ) from error
    if public_key != identity.public_key:
        raise SettingsError(
            f"{prefix}PUBLIC_KEY: {identity.public_key} is declared, but the private key in "
            f"{identity.private_key_file} belongs to {public_key}"
        )
