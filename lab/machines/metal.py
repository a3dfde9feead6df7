"""A bare-metal machine of the lab: a real Debian with systemd and sshd, in a network namespace of its own.

systemd-nspawn boots it. It has one leg on the lan, one at the Internet host, and a disk of its own.
Only SSH reaches it.
"""

import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from console.errors import StepError
from console.run import capture
from console.waiting import until
from lab import paths
from lab.machines import disks, power
from lab.network import joining, topology
from lab.network.sandbox import Sandbox
from lab.processes import cgroups
from lab.processes.daemon import Daemon

DIRECTORY = paths.STATE / "metal"

BOOT_SECONDS = 30.0
SHUTDOWN_SECONDS = 95.0
"""systemd gives a service 90 seconds to stop."""


@dataclass(frozen=True)
class Machine:
    """One machine; it may be off."""

    name: str
    number: int

    @property
    def ipv4(self) -> str:
        """Its address on the lan."""
        return topology.on_lan(self.number)[0]

    @property
    def ipv6(self) -> str:
        """Its other address on the lan."""
        return topology.on_lan(self.number)[1]

    @property
    def outside(self) -> tuple[str, str]:
        """The addresses that the Internet host sees of it: IPv4, IPv6."""
        return topology.on_line(self.number)

    @property
    def directory(self) -> Path:
        """Where its disk and the keys to it are."""
        return DIRECTORY / self.name

    @property
    def ssh_key(self) -> Path:
        """The private key that root is reached with."""
        return self.directory / "key"

    @property
    def known_hosts(self) -> Path:
        """The machine's host key, as ssh(1) reads it."""
        return self.directory / "known_hosts"

    @property
    def running(self) -> bool:
        """Whether it is switched on."""
        return _daemon(self.name).process() is not None

    def inventory(self) -> dict[str, str]:
        """Return the variables by which Ansible connects to it."""
        return {
            "ansible_host": self.ipv4,
            "ansible_user": "root",
            "ansible_ssh_private_key_file": str(self.ssh_key),
            "ansible_ssh_common_args": shlex.join(self._ssh_options()),
        }

    def ssh(self, *argv: str, stdin: str | None = None) -> str:
        """Run a command in it as root and return its stdout; raise StepError if it fails."""
        options = (*self._ssh_options(), "-i", str(self.ssh_key), "-o", "ConnectTimeout=2")
        return capture(
            ["ssh", *options, f"root@{self.ipv4}", shlex.join(argv)],
            doing=f"run {argv[0]} in the machine {self.name}",
            stdin=stdin,
        )

    def start(self) -> None:
        """Switch it on, when it is off, and wait until SSH answers."""
        view = Sandbox(
            network=topology.NODE,
            hostname=self.name,
            empty=("/run",),
            binds=tuple((f"/run/netns/{name}",) * 2 for name in (topology.NODE, topology.INTERNET)),
        )
        cgroups.create(_group(self.name))
        boot = power.command(self.name, self.number, _group(self.name), disks.ensure(), self.directory)
        _daemon(self.name).start(view.command(boot), {"PYTHONPATH": str(paths.REPOSITORY)})
        self._wait_for_boot(BOOT_SECONDS)

    def reboot(self) -> None:
        """Shut it down and boot it again from the same disk."""
        before = self._boot_id()
        with suppress(StepError):  # the connection may end before the command does
            self.ssh("systemctl", "reboot")
        self._wait_for_boot(SHUTDOWN_SECONDS + BOOT_SECONDS, before)

    def kill(self) -> None:
        """Cut its power; its disk stays as it is."""
        _switch_off(self.name)

    def _ssh_options(self) -> tuple[str, ...]:
        """Return what makes ssh apart from the user's own settings, and strict."""
        settings = (
            f"UserKnownHostsFile={self.known_hosts}",
            "GlobalKnownHostsFile=none",
            "StrictHostKeyChecking=yes",
            "IdentitiesOnly=yes",
            "BatchMode=yes",
            # A connection to a machine that lost its power ends, too.
            "ServerAliveInterval=5",
        )
        return ("-F", "none", *(word for setting in settings for word in ("-o", setting)))

    def _boot_id(self) -> str:
        return self.ssh("cat", "/proc/sys/kernel/random/boot_id")

    def _wait_for_boot(self, seconds: float, before: str = "") -> None:
        """Wait until SSH answers in another boot than `before`."""
        console = _daemon(self.name).log
        reason = "it did not shut down"

        def booted() -> bool:
            nonlocal reason
            if not self.running:
                raise StepError(f"The machine {self.name} ended instead of booting.", console)
            try:
                return self._boot_id() != before
            except StepError as error:
                reason = error.sentence
                return False

        until(
            booted,
            deadline=seconds,
            otherwise=lambda: StepError(
                f"The machine {self.name} has not booted within {seconds:.0f} s: {reason}", console
            ),
        )


@contextmanager
def machine(name: str) -> Iterator[Machine]:
    """Give a new machine, booted, for the time of the block; what a killed run left under this name goes first."""
    if not topology.complete():
        raise StepError("The lab does not run; start it with `make up`.")
    disks.ensure()
    _remove(name)
    try:
        made = _assemble(name)
        made.start()
        yield made
    finally:
        _remove(name)


def down() -> None:
    """Remove every machine."""
    for directory in DIRECTORY.glob("*"):
        _remove(directory.name)


def _assemble(name: str) -> Machine:
    """Make a machine that was never switched on: a free number, keys, and a disk that knows both."""
    with joining.alone():
        made = Machine(name, joining.free_number(topology.MACHINES, {other.ipv4 for other in _machines()}))
        made.directory.mkdir(mode=0o700, parents=True)
        draft = made.directory / "number.new"
        draft.write_text(str(made.number))
        draft.replace(draft.with_suffix(""))
    host_key = made.directory / "host-key"
    for key in (made.ssh_key, host_key):
        capture(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", key], doing="make an SSH key")
    public = host_key.with_suffix(".pub").read_text()
    made.known_hosts.write_text(f"{made.ipv4},{made.ipv6} {public}")
    disks.personalize(
        made.directory,
        {
            "etc/hostname": f"{name}\n",
            "etc/hosts": f"127.0.0.1 localhost\n127.0.1.1 {name}\n::1 localhost\n",
            "etc/ssh/ssh_host_ed25519_key": host_key.read_text(),
            "etc/ssh/ssh_host_ed25519_key.pub": public,
            "root/.ssh/authorized_keys": made.ssh_key.with_suffix(".pub").read_text(),
        },
    )
    return made


def _remove(name: str) -> None:
    """Switch a machine off and throw its disk away; nothing happens when there is none."""
    _switch_off(name)
    if (directory := DIRECTORY / name).exists():
        shutil.rmtree(directory)


def _switch_off(name: str) -> None:
    _daemon(name).stop()
    cgroups.remove(_group(name))


def _daemon(name: str) -> Daemon:
    return Daemon(f"metal-{name}")


def _group(name: str) -> str:
    return f"{cgroups.NAME}-metal-{name}"


def _machines() -> list[Machine]:
    """Return all machines that there are."""
    return [Machine(file.parent.name, int(file.read_text())) for file in DIRECTORY.glob("*/number")]
