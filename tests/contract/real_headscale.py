"""A real Headscale on loopback, with real tailscaled nodes that join it, for contract tests."""

import json
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path

import yaml

from lab.tools import go_builds, pinned_tools
from tests.contract.programs import free_port, listens, running
from tests.deadlines import wait_for

STARTUP_SECONDS = 30
JOIN_SECONDS = 60


class RealHeadscale:
    """A running server in `directory`, which ends with `stack`; its nodes end with `nodes`."""

    def __init__(
        self,
        directory: Path,
        headscale: Path,
        tailscaled: Path,
        port: int,
        stack: ExitStack,
        nodes: ExitStack,
        policy: dict[str, str],
    ) -> None:
        self._directory = directory
        self._headscale = str(headscale)
        self._tailscaled = tailscaled
        self._nodes = nodes
        self.url = f"http://127.0.0.1:{port}"
        self._config = directory / "config.yaml"
        self._config.write_text(yaml.safe_dump(_config(directory, port) | {"policy": policy}))
        stack.enter_context(running([self._headscale, "serve", "-c", str(self._config)], directory / "headscale.log"))
        wait_for(lambda: listens(port), "Headscale", STARTUP_SECONDS, directory / "headscale.log")

    def new_api_key(self, expiration: datetime) -> str:
        """As an administrator makes the first key, on the server's own socket."""
        seconds = int((expiration - datetime.now(expiration.tzinfo)).total_seconds())
        command = [self._headscale, "-c", str(self._config), "apikeys", "create", "-e", f"{seconds}s", "-o", "json"]
        printed: list[str] = []

        def made() -> bool:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            printed.append(done.stdout)
            return done.returncode == 0

        # The socket opens a moment after the HTTP port.
        wait_for(made, "an API key", STARTUP_SECONDS, self._directory / "headscale.log")
        return str(json.loads(printed[-1]))

    def own_tags(self, tags: tuple[str, ...]) -> None:
        """Set a policy by which everybody reaches everybody and these tags may be given."""
        policy = {
            "tagOwners": {tag: ["somebody@"] for tag in tags},
            "acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}],
        }
        file = self._directory / "policy.json"
        file.write_text(json.dumps(policy))
        command = [self._headscale, "-c", str(self._config), "policy", "set", "-f", str(file)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def tailscale(self, hostname: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `tailscale` for a node that has joined."""
        command = [str(self._tailscaled.with_name("tailscale")), f"--socket={self.socket(hostname)}", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def socket(self, hostname: str) -> Path:
        """Where the tailscaled of a node that has joined answers."""
        (path,) = self._directory.glob(f"{hostname}-*/tailscaled.sock")
        return path

    def join(self, auth_key: str, hostname: str, routes: tuple[str, ...]) -> None:
        """Start a tailscaled that registers with the key; PermissionError when Headscale does not let it in."""
        # Two may have one host name.
        home = Path(tempfile.mkdtemp(prefix=f"{hostname}-", dir=self._directory))
        (home / "auth-key").write_text(auth_key)
        socket_path = home / "tailscaled.sock"
        log = home / "tailscaled.log"
        daemon = [
            str(self._tailscaled),
            "--tun=userspace-networking",
            "--no-logs-no-support",
            f"--statedir={home}",
            f"--socket={socket_path}",
            "--port=0",
        ]
        self._nodes.enter_context(running(daemon, log, TS_DEBUG_USE_DERP_HTTP="true"))
        wait_for(socket_path.exists, "tailscaled", STARTUP_SECONDS, log)
        exit_node = "0.0.0.0/0" in routes
        others = [route for route in routes if route not in {"0.0.0.0/0", "::/0"}]
        up = [
            str(self._tailscaled.with_name("tailscale")),
            f"--socket={socket_path}",
            "up",
            f"--login-server={self.url}",
            f"--auth-key=file:{home / 'auth-key'}",
            f"--hostname={hostname}",
            f"--advertise-exit-node={str(exit_node).lower()}",
            f"--advertise-routes={','.join(others)}",
            f"--timeout={JOIN_SECONDS}s",
        ]
        with subprocess.Popen(up, stderr=subprocess.PIPE, text=True) as client:
            while client.poll() is None:
                # 0.23 answers 401 to a key that does not work, and tailscaled tries for ever.
                if "register request: http 401" in log.read_text():
                    client.terminate()
                    raise PermissionError("Headscale does not let the key in")
                time.sleep(0.1)
            errors = client.stderr.read() if client.stderr else ""
        # Of a key that has ended, and of one that has gone.
        if "backend error: authkey" in errors or "backend error: invalid pre auth key" in errors:
            raise PermissionError(errors)
        assert client.returncode == 0, errors


@contextmanager
def running_headscale(
    directory: Path,
    tool: pinned_tools.Tool,
    policy_file: str | None = None,
    *,
    port: int | None = None,
    nodes: ExitStack | None = None,
) -> Iterator[RealHeadscale]:
    """A server of one of the lab's Headscale versions, with the database of that directory, or an empty one.

    Its policy is in the database too, or in a file. Its nodes end with `nodes`, or before it.
    """
    headscale, tailscaled = go_builds.resolve(tool), go_builds.resolve(pinned_tools.TAILSCALED)
    policy = {"mode": "database"} if policy_file is None else {"mode": "file", "path": policy_file}
    with ExitStack() as stack:
        yield RealHeadscale(directory, headscale, tailscaled, port or free_port(), stack, nodes or stack, policy)


def _config(directory: Path, port: int) -> dict[str, object]:
    """Without any network beyond loopback; the same text for every version."""
    return {
        "server_url": f"http://127.0.0.1:{port}",
        "listen_addr": f"127.0.0.1:{port}",
        "metrics_listen_addr": "",
        "grpc_listen_addr": f"127.0.0.1:{free_port()}",
        "disable_check_updates": True,
        "noise": {"private_key_path": str(directory / "noise.key")},
        "prefixes": {"v4": "100.64.0.0/10", "v6": "fd7a:115c:a1e0::/48", "allocation": "sequential"},
        "database": {"type": "sqlite", "sqlite": {"path": str(directory / "db.sqlite"), "write_ahead_log": True}},
        "derp": {
            "server": {
                "enabled": True,
                "region_id": 999,
                "region_code": "local",
                "region_name": "Local",
                "verify_clients": False,
                "stun_listen_addr": f"127.0.0.1:{free_port()}",
                "private_key_path": str(directory / "derp.key"),
                "automatically_add_embedded_derp_region": True,
            },
            "urls": [],
            "paths": [],
            "auto_update_enabled": False,
        },
        "dns": {
            "magic_dns": False,
            "override_local_dns": False,
            "base_domain": "mesh.internal",
            "nameservers": {"global": []},
        },
        "unix_socket": str(directory / "headscale.sock"),
        "unix_socket_permission": "0700",
    }
