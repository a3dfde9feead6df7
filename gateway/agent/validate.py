"""`python -m gateway.agent.validate < gateway.env`: whether an agent could use a file, before it replaces one."""

import os
import sys

from gateway.agent.settings import AgentSettings
from gateway.agent.settings_loading import SettingsError, environment_lines, load


def main() -> int:
    """Read lines NAME=VALUE: 0 if the agent can use them, 2 and a sentence per setting if not."""
    try:
        os.environ.update(environment_lines("standard input", sys.stdin.read()))
        load(AgentSettings)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
