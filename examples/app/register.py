"""Asks an orchestrator for a way in, and writes what the way's stock client takes, for this user alone.

python register.py https://api.example.com mesh|wireguard|openvpn|ipsec NAME LOGIN

LOGIN is a file with the header that logs you in, such as `Authorization: Bearer …`. It needs httpx alone.
"""

import os
import sys
from pathlib import Path
from typing import Any

import httpx

WIREGUARD = """\
[Interface]
PrivateKey = {privateKey}
Address = {address}
{resolvers}
[Peer]
PublicKey = {serverPublicKey}
Endpoint = {serverEndpoint}
AllowedIPs = {allowedIPs}
PersistentKeepalive = {persistentKeepalive}
"""


def register(orchestrator: str, access: str, name: str, header: tuple[str, str]) -> dict[str, Any]:
    """What the orchestrator answers; an exit with its own sentence if it refuses."""
    answer = httpx.post(
        f"{orchestrator}/api/v1/device/register",
        params={"access": access},
        json={"device_name": name, "device_os": "linux"},
        headers=[header],
    )
    told: dict[str, Any] = answer.json()
    if answer.is_error:
        sys.exit(str(told["detail"]))
    return told


def file_for_the_client(access: str, told: dict[str, Any]) -> tuple[str, str, str]:
    """The ending of a file, its content, and the command that takes it."""
    match access:
        case "mesh":
            up = f"tailscale up --login-server={told['login_server']} --auth-key=file:{{}}"
            return "key", told["pre_auth_key"], up
        case "wireguard":
            resolvers = f"DNS = {told['dns']}\n" if told["dns"] else ""
            return "conf", WIREGUARD.format(**told, resolvers=resolvers), "wg-quick up ./{}"
        case "openvpn":
            return "ovpn", told["profile"], "openvpn --config {}"
        case _:
            return "sh", told["profile"], "sh {}"


def main(orchestrator: str, access: str, name: str, login: str) -> None:
    """Register, write the file, and say how to connect."""
    header, _, value = Path(login).read_text().strip().partition(": ")
    ending, content, command = file_for_the_client(access, register(orchestrator, access, name, (header, value)))
    os.umask(0o077)
    Path(f"{name}.{ending}").write_text(content)
    print(command.format(f"{name}.{ending}"))


if __name__ == "__main__":
    main(*sys.argv[1:])
