"""A stock strongSwan client's own directory: where a profile's script puts its files, and what charon is told.

It has what Debian's packages bring, and ESP in user space, since this kernel may have none. Its ports are free ones, so
that several clients stand side by side.
"""

import socket as sockets
from pathlib import Path

from lab.tools import debian_packages

UP = "established with SPIs"
"""charon's word for a tunnel that stands."""
SESSION = "established between"
"""Its word for a new session; one that moves along may have another tunnel."""
REFUSED = ("N(AUTH_FAILED)", "N(NO_PROP)")
_SETTINGS = """\
charon-systemd {{
    load = random nonce openssl kdf pem pkcs1 pkcs8 x509 pubkey constraints kernel-libipsec kernel-netlink \
socket-default vici
    port = 0
    port_nat_t = 0
    plugins {{
        vici {{
            socket = unix://{socket}
        }}
    }}
    filelog {{
        stderr {{
            path = stderr
            default = 1
            time_format = %s
            time_add_ms = yes
        }}
    }}
}}
swanctl {{
    load = pem pkcs1 x509 pubkey openssl random
    socket = unix://{socket}
}}
include {more}/*.conf
"""


def bring() -> None:
    """Install what is missing of strongSwan: a gateway of a test runs by it, too."""
    debian_packages.ensure_for_tests(
        "charon-systemd", "libcharon-extra-plugins", "libstrongswan-standard-plugins", "strongswan-swanctl"
    )


def socket(directory: Path) -> Path:
    """Where a client's charon takes commands, once it runs."""
    return directory / "charon.vici"


def listens(directory: Path) -> bool:
    """Whether a client's charon takes commands yet."""
    with sockets.socket(sockets.AF_UNIX) as asking:
        return asking.connect_ex(str(socket(directory))) == 0


def prepare(directory: Path) -> dict[str, str]:
    """Make a client's directory; the environment in which `charon-systemd`, `swanctl` and profiles use it."""
    bring()
    for name in ("strongswan.d", *(f"swanctl/{one}" for one in ("conf.d", "private", "x509", "x509ca"))):
        (directory / name).mkdir(parents=True)
    (directory / "swanctl/swanctl.conf").write_text("include conf.d/*.conf\n")
    settings = directory / "strongswan.conf"
    settings.write_text(_SETTINGS.format(socket=socket(directory), more=directory / "strongswan.d"))
    return {
        "SWANCTL_DIR": str(directory / "swanctl"),
        "STRONGSWAN_DIR": str(directory / "strongswan.d"),
        "STRONGSWAN_CONF": str(settings),
    }
