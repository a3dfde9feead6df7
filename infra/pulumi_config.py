"""The settings of the stack that the engine runs."""

import pulumi
from pulumi.runtime.config import CONFIG, get_config_env, is_config_secret

from infra.settings.loading import SettingsError, load
from infra.settings.section import secrets
from infra.settings.stack import StackSettings


def stack_settings() -> StackSettings:
    """The stack's settings; ends the program with one sentence for each setting that cannot work."""
    config = pulumi.Config()
    prefix = f"{config.name}:"
    keys = [key.removeprefix(prefix) for key in {**get_config_env(), **CONFIG.get()} if key.startswith(prefix)]
    for key in sorted(set(secrets(StackSettings)).intersection(keys)):
        if not is_config_secret(f"{prefix}{key}"):
            raise _in_clear_text(prefix, key, key)
    try:
        settings = load(config.get, keys)
    except SettingsError as error:
        raise pulumi.RunError(str(error)) from None
    # To Pulumi the whole of `gateways` is a secret if anything in it is one.
    if not is_config_secret(f"{prefix}gateways"):
        for index, gateway in enumerate(settings.gateways):
            if gateway.private_key:
                setting = f"gateways[{index}].private_key"
                raise _in_clear_text(prefix, setting, f"--path '{setting}'")
    return settings


def _in_clear_text(prefix: str, setting: str, argument: str) -> pulumi.RunError:
    return pulumi.RunError(f"{prefix}{setting}: it is set in clear text; use `pulumi config set --secret {argument}`.")
