"""Our arithmetic of keys against that of `wg`."""

import subprocess

from infra import wireguard


def wg(command: str, stdin: str = "") -> str:
    return subprocess.run(["wg", command], input=stdin, capture_output=True, text=True, check=True).stdout.strip()


def test_public_key_is_what_wg_says() -> None:
    for private_key in (wireguard.generate_private_key(), wg("genkey")):
        assert wireguard.public_key(private_key) == wg("pubkey", private_key)
