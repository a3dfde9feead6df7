"""`python -m gateway.agent.move_devices FROM TO`: all devices out of one store into another (`stores.moving`).

It is run with the agent's own environment, while no agent runs on this machine. FROM and TO are values of
MESHGATE_STORE.
"""

import sys
from collections.abc import Sequence

from gateway.agent.live_settings import LiveSettings
from gateway.agent.settings import AgentSettings
from gateway.agent.settings_loading import SettingsError
from gateway.agent.store import StoreError
from gateway.agent.stores import files
from gateway.agent.stores.moving import Home, move

STORES = ("sqlite", "etcd")


def main(arguments: Sequence[str]) -> int:
    """0 if the devices are in the other store, 2 if that cannot be asked for, 1 if it does not work now."""
    if len(arguments) != 2 or set(arguments) != set(STORES):
        sys.stderr.write("say from which store into which the devices are to move: sqlite etcd, or etcd sqlite\n")
        return 2
    try:
        settings = LiveSettings()()
        moved = move(*(home(name, settings) for name in arguments))
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except (StoreError, OSError) as error:
        sys.stderr.write(f"the devices have not moved: {error}\n")
        return 1
    count = "all devices had" if moved is None else f"{moved} devices have"
    sys.stdout.write(f"{count} moved into {arguments[1]}: set MESHGATE_STORE={arguments[1]}, and start the agent\n")
    return 0


def home(name: str, settings: AgentSettings) -> Home:
    """The store as a move sees it; SettingsError if the settings do not say where it is."""
    if name == "sqlite":
        from gateway.agent.stores.sqlite_home import SqliteHome

        return SqliteHome(settings.state_dir / files.SQLITE)
    if not settings.etcd_endpoints:
        raise SettingsError("MESHGATE_ETCD_ENDPOINTS is not set: write https://HOST:2379 of each member")
    from gateway.agent.stores.etcd.credentials import etcd
    from gateway.agent.stores.etcd.home import EtcdHome

    return EtcdHome(etcd(settings), settings.etcd_prefix, settings.state_dir / files.ETCD_COPY)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
