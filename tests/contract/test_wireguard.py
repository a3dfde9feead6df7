"""Our arithmetic of keys against that of `wg`."""

import subprocess

from infra import curve25519


def wg(command: str, stdin: str = "") -> str:
    return subprocess.run(["wg", command], input=stdin, capture_output=True, text=True, check=True).stdout.strip()


def test_public_key_is_what_wg_says() -> None:
    for private_key in (curve25519.generate_private_key(), wg("genkey")):
        assert curve25519.public_key(private_key) == wg("pubkey", private_key)
