"""A machine as a bare-metal gateway: playbooks run on it, native clients of its own, and what it is like afterwards."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import yaml

from gateway.headscale.client import Headscale
from gateway.headscale.errors import NotFoundError
from gateway.headscale.models import Node
from infra import curve25519
from lab import paths
from lab.cluster.startup import PKI
from lab.images import artifact
from lab.machines import metal
from lab.machines.metal import Machine
from lab.mesh import peer
from lab.network import wireguard_client as clients
from lab.network.wireguard_client import Client, Config
from lab.tools import go_builds, pinned_tools
from tests.e2e import lab_world

USER = "meshgate-metal-test"
"""The Headscale user of these tests' nodes; remove.yml takes it away."""

CLIENT_NETWORKS = ("10.78.0.0/16", "fd78::/64")

VENDOR_UNIT = """
[Unit]
Description=Tailscale node agent
[Service]
ExecStart=/usr/sbin/tailscaled --state=/var/lib/tailscale/tailscaled.state --socket=/run/tailscale/tailscaled.sock
ExecStopPost=/usr/sbin/tailscaled --cleanup
Environment=TS_NO_LOGS_NO_SUPPORT=true TS_DEBUG_FIREWALL_MODE=nftables SSL_CERT_DIR=/etc/ssl/certs:/etc/lab
RuntimeDirectory=tailscale
StateDirectory=tailscale
Type=notify
[Install]
WantedBy=multi-user.target
"""


@dataclass(frozen=True)
class Play:
    """How a playbook ended."""

    status: int
    output: str

    @property
    def said(self) -> str:
        """All of it on one line: Ansible wraps what is long."""
        return " ".join(self.output.split())

    @property
    def changed(self) -> list[str]:
        """The tasks that changed something, in order."""
        blocks = re.split(r"^TASK \[(.*?)\] \*+$", self.output, flags=re.MULTILINE)[1:]
        tasks = zip(blocks[::2], blocks[1::2], strict=True)
        return [name for name, told in tasks if re.search(r"^changed: \[", told, re.MULTILINE)]

    @property
    def tasks(self) -> int:
        """How many tasks ran."""
        return sum(int(count) for count in re.findall(r" ok=(\d+) ", self.output))

    @property
    def complaint(self) -> list[str]:
        """The sentences of the task that failed."""
        told = re.search(r"^fatal: .*=> *\n((?: +.*\n)+)", self.output, re.MULTILINE)
        assert told, self.output
        return str(yaml.safe_load(told.group(1))["msg"]).splitlines()


@dataclass(frozen=True)
class MetalGateway:
    """A machine that is, or is to be, a gateway; its inventory and settings are in `directory`."""

    machine: Machine
    directory: Path
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def there(self) -> bool:
        """Whether a playbook has begun to make the machine a gateway."""
        return "meshgate" in self.machine.ssh("ls", "/etc")

    @property
    def variables(self) -> dict[str, Any]:
        """What a user writes into the inventory."""
        return {
            **self.machine.inventory(),
            "meshgate_gateway": {
                "name": self.machine.name,
                "endpoint": f"{self.machine.ipv4}:51820",
                "client_networks": list(CLIENT_NETWORKS),
                "peers_url": f"http://{self.machine.ipv4}:8080",
                **self.settings,
            },
            "meshgate_headscale": {"url": peer.URL, "ca_certificate": PKI.ca.read_text(), "user": USER},
            "meshgate_headscale_api_key": lab_world.api_key(),
        }

    def command(self, playbook: str, *options: str, **variables: object) -> list[str]:
        """The command that a user types, with variables that differ from the inventory."""
        inventory = self.directory / "inventory.json"
        inventory.touch(mode=0o600)
        hosts = {self.machine.name: {**self.variables, **variables}}
        inventory.write_text(json.dumps({"meshgate": {"hosts": hosts}}))
        program = Path(sys.executable).with_name("ansible-playbook")
        return [str(program), "-i", str(inventory), f"playbooks/{playbook}.yml", *options]

    def play(self, playbook: str, *options: str, **variables: object) -> Play:
        """Run a playbook that has to succeed."""
        played = self.try_to_play(playbook, *options, **variables)
        assert played.status == 0, played.output
        return played

    def try_to_play(self, playbook: str, *options: str, **variables: object) -> Play:
        """Run a playbook."""
        command = self.command(playbook, *options, **variables)
        done = subprocess.run(
            command, cwd=paths.REPOSITORY, env=environment(), capture_output=True, text=True, check=False, timeout=300
        )
        return Play(done.returncode, done.stdout + done.stderr)

    def kill_at(self, task: str, playbook: str = "gateway", **variables: object) -> None:
        """Run a playbook, and kill it with all its processes as soon as a task begins."""
        command = self.command(playbook, **variables)
        with subprocess.Popen(
            command,
            cwd=paths.REPOSITORY,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as process:
            assert process.stdout is not None
            told = []
            for line in process.stdout:
                told.append(line)
                if line.startswith(f"TASK [{task}]"):
                    os.killpg(process.pid, 9)
                    return
        raise AssertionError(f"there was no task {task}:\n{''.join(told)}")

    def api(self, method: str, path: str, json: object = None) -> httpx.Response:
        """Call the peer API as the operator does."""
        token = self.machine.ssh("grep", "^admin", "/etc/meshgate/tokens").split()[1]
        headers = {"Authorization": f"Bearer {token}"}
        with httpx.Client(base_url=f"http://{self.machine.ipv4}:8080", headers=headers, trust_env=False) as http:
            return http.request(method, path, json=json)

    def ready(self) -> bool:
        """Whether the agent says that it carries traffic."""
        try:
            return httpx.get(f"http://{self.machine.ipv4}:8081/readyz", trust_env=False).is_success
        except httpx.HTTPError:
            return False

    @contextmanager
    def client(self, name: str) -> Iterator[Client]:
        """A native client that knows nothing but the peer API's answer; its peer is removed at the end."""
        private_key = curve25519.generate_private_key()
        public_key = curve25519.public_key(private_key)
        answer = self.api("POST", "/v1/peers", {"public_key": public_key, "name": name})
        assert answer.is_success, answer.text
        with clients.connected(name, Config.from_peer(private_key, answer.json())) as client:
            yield client
        assert self.api("DELETE", f"/v1/peers/{quote(public_key, safe='')}").is_success

    def identity(self) -> dict[str, str]:
        """What must stay the same whatever happens: keys, and the node in Headscale."""
        node = self.node()
        key = self.machine.ssh("sh", "-c", "grep PUBLIC_KEY /etc/meshgate/gateway.env").strip()
        return {"public key": key, "node": node.id, "node key": node.node_key, "addresses": " ".join(node.addresses)}

    def node(self) -> Node:
        """Its one node in Headscale."""
        with lab_world.headscale() as headscale:
            return lab_world.node_named(headscale, f"meshgate-{self.machine.name}")

    def processes(self) -> dict[str, str]:
        """The process of each of its units: another one was restarted."""
        units = [f"meshgate-{name}.service" for name in ("wireguard", "agent", "tailscale")]
        shown = self.machine.ssh("systemctl", "show", "--property=MainPID", "--value", *units)
        return dict(zip(units, shown.split(), strict=True))


def exposures(machine: Machine) -> dict[str, str]:
    """How systemd scores each unit of ours that runs there; lower is better."""
    listed = machine.ssh("systemctl", "list-units", "--plain", "--no-legend", "--state=running", "meshgate-*.service")
    units = [line.split()[0] for line in listed.splitlines()]
    judge = ("systemd-analyze", "security", "--no-pager")
    scores = (re.search(r"exposure level for .*?: ([\d.]+)", machine.ssh(*judge, unit)) for unit in units)
    return {unit.removesuffix(".service"): score[1] for unit, score in zip(units, scores, strict=True) if score}


def documented_exposures() -> dict[str, str]:
    """What docs/metal.md says of that, for the systemd of the lab's machines."""
    page = (paths.REPOSITORY / "docs" / "metal.md").read_text()
    return dict(re.findall(r"^\| `(meshgate-\w+)`[^|]*\| ([\d.]+) \|", page, re.MULTILINE))


def environment() -> dict[str, str]:
    """The environment of a playbook: nothing of the user's Ansible."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    return {**kept, "ANSIBLE_NOCOLOR": "1", "PYTHONUNBUFFERED": "1"}


@contextmanager
def machine_with_tailscale(name: str) -> Iterator[Machine]:
    """A new Debian with Tailscale's package, which nobody has logged in, and the artifact to make it a gateway."""
    artifact.ensure()
    with metal.machine(name) as machine:
        install_vendor_tailscale(machine)
        try:
            yield machine
        finally:
            forget_nodes()


def install_vendor_tailscale(machine: Machine) -> None:
    """What Tailscale's package brings: both programs, and a service that runs and is enabled."""
    binary = go_builds.resolve(pinned_tools.TAILSCALED)
    for name in ("/usr/sbin/tailscaled", "/usr/bin/tailscale"):
        upload(machine, binary, name)
    machine.ssh("sh", "-c", "mkdir -p /etc/lab && cat > /etc/lab/ca.crt", stdin=PKI.ca.read_text())
    machine.ssh("sh", "-c", "cat > /lib/systemd/system/tailscaled.service", stdin=VENDOR_UNIT)
    machine.ssh("systemctl", "enable", "--now", "--quiet", "tailscaled.service")


def upload(machine: Machine, source: Path, target: str) -> None:
    """Copy a program to the machine."""
    variables = machine.inventory()
    copy = ["scp", "-q", *variables["ansible_ssh_common_args"].split(), "-i", variables["ansible_ssh_private_key_file"]]
    subprocess.run([*copy, str(source), f"root@{machine.ipv4}:{target}"], check=True, timeout=60)


_VOLATILE = (
    "/root/.ansible*",  # Ansible's own
    "/var/lib/tailscale/*",  # of the host's tailscaled, which went on
    "/var/lib/systemd/*",
    "/var/log/*",
    "/var/cache/*",
    "/tmp/*",
    "/var/tmp/*",
)
_LOOKS = {
    "files": "find / -xdev VOLATILE -printf '%p %y %m %U:%G %l\\n' | sort",
    "contents": "find /etc /root /lib/systemd /usr/local -xdev VOLATILE -type f -exec sha256sum {} + | sort -k2",
    "units": "systemctl list-unit-files --no-legend --no-pager | sort",
    "running": "systemctl list-units --no-legend --no-pager --type=service,timer,socket --plain --state=active,failed"
    " | cut -d' ' -f1 | grep -v -e '^systemd-tmpfiles-clean' -e '^session' -e '^user' | sort",
    "tables": "nft --stateless list ruleset",
    "rules": "ip rule; ip -6 rule",
    # tailscaled's link-local address is another one each time.
    "routes": "ip route show table all | grep -v 'fe80::.* dev tailscale0' | sort",
    "links": "ip -o link | cut -d' ' -f2 | sed 's/[@:].*//' | sort",
    "users": "cat /etc/passwd /etc/group; getent passwd",
    "sysctls": "sysctl -a 2>/dev/null | grep '^net.ipv[46]' | grep -v -e stable_secret -e '_time' -e tcp_fastopen_key"
    " -e '[.]neigh[.]' -e '[.]tailscale0[.]' | sort",
}


def snapshot(machine: Machine) -> dict[str, list[str]]:
    """Everything of a machine that a gateway might have changed."""
    volatile = " ".join(f"! -path '{path}'" for path in _VOLATILE)
    return {
        name: machine.ssh("sh", "-c", look.replace("VOLATILE", volatile)).splitlines() for name, look in _LOOKS.items()
    }


def differences(before: dict[str, list[str]], after: dict[str, list[str]]) -> dict[str, list[str]]:
    """Lines that are not in both: `-` those that have gone, `+` those that have come."""
    found = {}
    for name, lines in before.items():
        gone, come = {*lines} - {*after[name]}, {*after[name]} - {*lines}
        if gone or come:
            found[name] = [*(f"- {line}" for line in sorted(gone)), *(f"+ {line}" for line in sorted(come))]
    return found


def log_in(machine: Machine) -> None:
    """Let the host's own tailscaled join the lab's mesh, as some machine of that user's."""
    with lab_world.headscale() as headscale:
        user = headscale.ensure_user(USER)
        key = headscale.create_pre_auth_key(user, expiration=datetime.now(UTC) + timedelta(minutes=5))
    machine.ssh("sh", "-c", "umask 077; cat > /run/key", stdin=key.key.get_secret_value())
    machine.ssh("tailscale", "up", f"--login-server={peer.URL}", "--auth-key=file:/run/key", "--accept-dns=false")
    machine.ssh("rm", "/run/key")


def forget_nodes() -> None:
    """Remove the nodes and the user that a failed test has left in Headscale."""
    with lab_world.headscale() as headscale, suppress(NotFoundError):
        user = headscale.user(USER)
        _delete_all(headscale)
        for key in headscale.pre_auth_keys(user):
            headscale.delete_pre_auth_key(user, key)
        headscale.delete_user(user)


def _delete_all(headscale: Headscale) -> None:
    for node in headscale.nodes(USER):
        headscale.delete_node(node.id)


def other_artifact(directory: Path) -> Path:
    """The artifact of this work tree with other bytes: an upgrade that changes no program."""
    target = directory / "other.tar.gz"
    target.write_bytes(artifact.FILE.read_bytes() + bytes(512))
    return target
