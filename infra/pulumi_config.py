"""The settings of the stack that the engine runs."""

import pulumi
from pulumi.runtime.config import CONFIG, get_config_env, is_config_secret

from infra.settings.loading import SettingsError, load
from infra.settings.stack import SECRETS, StackSettings


def stack_settings() -> StackSettings:
    """The stack's settings; ends the program with one sentence for each setting that cannot work."""
    config = pulumi.Config()
    prefix = f"{config.name}:"
    keys = [key.removeprefix(prefix) for key in {**get_config_env(), **CONFIG.get()} if key.startswith(prefix)]
    for key in sorted(SECRETS.intersection(keys)):
        if not is_config_secret(f"{prefix}{key}"):
            raise pulumi.RunError(f"{prefix}{key}: it is set in clear text; use `pulumi config set --secret {key}`.")
    try:
        return load(config.get, keys)
    except SettingsError as error:
        raise pulumi.RunError(str(error)) from None
