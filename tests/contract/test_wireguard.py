"""Keys, against those of `wg`: our arithmetic, and what the agent makes of its own pair."""

import re
import subprocess
from pathlib import Path

import pytest

from gateway.agent.endpoints import WireGuardIdentity
from gateway.agent.protocols.wireguard.key_pair import check_key_pair
from gateway.agent.settings_loading import SettingsError
from infra import curve25519
from tests.unit.agent.fakes import key_pair

OURS, OTHERS = key_pair(), key_pair()


def wg(command: str, stdin: str = "") -> str:
    return subprocess.run(["wg", command], input=stdin, capture_output=True, text=True, check=True).stdout.strip()


def test_public_key_is_what_wg_says() -> None:
    for private_key in (curve25519.generate_private_key(), wg("genkey")):
        assert curve25519.public_key(private_key) == wg("pubkey", private_key)


async def test_the_agents_key_pair_fits(tmp_path: Path) -> None:
    await check_key_pair(identity(tmp_path, OURS.private))


@pytest.mark.parametrize(
    ("private_key", "refusal"),
    [
        ("not a key", "no public key follows .* should be a WireGuard private key .wg failed: "),
        (OTHERS.private, f"{re.escape(OURS.public)} is declared, .* belongs to {re.escape(OTHERS.public)}"),
    ],
    ids=["no key", "of another pair"],
)
async def test_the_two_halves_of_the_agents_key_pair_must_fit(tmp_path: Path, private_key: str, refusal: str) -> None:
    with pytest.raises(SettingsError) as refused:
        await check_key_pair(identity(tmp_path, private_key))
    assert re.search(refusal, str(refused.value))
    assert private_key not in str(refused.value)


def identity(directory: Path, private_key: str) -> WireGuardIdentity:
    file = directory / "private-key"
    file.write_text(private_key)
    return WireGuardIdentity("wg0", 51820, file, OURS.public)
