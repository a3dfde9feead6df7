"""The modules that change a host: what they do, and that they do it once."""

import base64
import io
import json
import os
import shutil
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from ansible.module_utils.basic import AnsibleModule

from gateway.agent.settings_loading import SettingsError
from gateway.agent.tokens import Tokens
from infra import curve25519
from tests.unit.playbooks.modules import Outcome, documented_options, run

from playbooks.library import (  # isort: skip
    gateway_artifact,
    gateway_before,
    gateway_identity,
    gateway_release,
    gateway_sysctl,
    gateway_unit,
    tailscale_up,
)

MODULES = (
    gateway_artifact,
    gateway_before,
    gateway_identity,
    gateway_release,
    gateway_sysctl,
    gateway_unit,
    tailscale_up,
)
REPOSITORY = Path(__file__).parents[3]
X86 = b"\x7fELF\x02\x01" + bytes(12) + b"\x3e\x00" + bytes(100)
ANSWER = tuple[int, str, str]
TOKEN = "another-token-for-the-test"


class Commands:
    """Stands for the host's programs: what ran, and what it answers."""

    def __init__(self) -> None:
        self.ran: list[list[str]] = []
        self.told: list[str | None] = []
        """What each was given on its standard input."""
        self.answer: Callable[[list[str]], ANSWER] = lambda _: (0, "", "")

    def run_command(self, command: list[str], **options: Any) -> ANSWER:  # noqa: ANN401
        self.ran.append(command)
        self.told.append(options.get("data"))
        status, output, complaint = self.answer(command)
        assert status == 0 or not options.get("check_rc")
        return status, output, complaint


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> Commands:
    commands = Commands()
    monkeypatch.setattr(AnsibleModule, "run_command", lambda _, *words, **more: commands.run_command(*words, **more))
    return commands


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__.split(".")[-1])
def test_all_options_are_documented_and_no_others(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def keep(argument_spec: dict[str, Any], **_: object) -> None:
        seen.update(argument_spec)
        raise SystemExit

    monkeypatch.setattr(module, "AnsibleModule", keep)
    with pytest.raises(SystemExit):
        module.main()
    documented = documented_options(module)
    assert set(documented) == set(seen)
    for name, option in documented.items():
        declared = seen[name]
        assert option["type"] == declared["type"], name
        assert option.get("required", False) == declared.get("required", False), name
        assert option.get("default") == declared.get("default"), name


def archive(path: Path, **files: bytes) -> Path:
    with tarfile.open(path, "w:gz") as packed:
        for name, content in files.items():
            member = tarfile.TarInfo(name.replace("__", "/"))
            member.size = len(content)
            packed.addfile(member, io.BytesIO(content))
        link = tarfile.TarInfo("var/run")
        link.type, link.linkname = tarfile.SYMTYPE, "/run"
        packed.addfile(link)
    return path


class TestArtifact:
    def test_it_says_what_is_in_the_file(self, tmp_path: Path) -> None:
        path = archive(tmp_path / "a.tar.gz", etc__hosts=b"text", usr__bin__wg=X86)
        first = run(gateway_artifact, {"path": str(path)})
        assert (first["architecture"], len(first["release"]), first["changed"]) == ("x86_64", 12, False)
        path.write_bytes(path.read_bytes() + b"\0")
        assert run(gateway_artifact, {"path": str(path)})["release"] != first["release"]

    @pytest.mark.parametrize(("content", "why"), [(b"text", "is no artifact"), (None, "There is no artifact")])
    def test_another_file_or_none(self, tmp_path: Path, content: bytes | None, why: str) -> None:
        path = tmp_path / "a.tar.gz"
        if content:
            path.write_bytes(content)
        refused = run(gateway_artifact, {"path": str(path)})
        assert refused["failed"]
        assert why in refused["msg"]
        assert "`make artifact`" in refused["msg"]

    def test_an_archive_without_a_program(self, tmp_path: Path) -> None:
        path = archive(tmp_path / "a.tar.gz", etc__hosts=b"text")
        assert "no program is in it" in run(gateway_artifact, {"path": str(path)})["msg"]


class TestRelease:
    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        (tmp_path / "opt").mkdir()
        return tmp_path / "opt"

    def unpack(self, root: Path, release: str, current: str = "", program: bytes = b"1", **how: bool) -> Outcome:
        files = {path.replace("/", "__"): program for path in gateway_release.FILES["wireguard"]}
        packed = archive(root / ".artifact.tar.gz", **files)
        used = {"wireguard": current}
        return run(
            gateway_release,
            {"root": str(root), "release": release, "archive": str(packed), "unit_releases": used},
            **how,
        )

    def test_it_is_unpacked_once(self, root: Path) -> None:
        first = self.unpack(root, "a" * 12)
        assert (first["changed"], first["unit_releases"]["wireguard"]) == (True, "a" * 12)
        assert (root / ("a" * 12) / "usr/local/bin/wireguard-go").read_bytes() == b"1"
        assert (root / ("a" * 12) / "var/run").readlink() == Path("/run/meshgate")
        assert self.unpack(root, "a" * 12)["changed"] is False
        assert sorted(path.name for path in root.iterdir()) == ["a" * 12]

    def test_what_a_killed_run_left_is_begun_anew(self, root: Path) -> None:
        draft = root / f".{'a' * 12}"
        draft.mkdir()
        (draft / "half").touch()
        assert self.unpack(root, "a" * 12)["changed"]
        assert not draft.exists()
        assert not (root / ("a" * 12) / "half").exists()

    @pytest.mark.parametrize("unit", ["openvpn", "ipsec"])
    def test_a_server_stays_with_its_release_while_its_programs_are_the_same(self, root: Path, unit: str) -> None:
        for release, program in (("a" * 12, b"1"), ("b" * 12, b"1"), ("c" * 12, b"2")):
            files = {path.replace("/", "__"): program for path in gateway_release.FILES[unit]}
            packed = archive(root / ".artifact.tar.gz", **files)
            given = {"release": release, "archive": str(packed), "unit_releases": {unit: "a" * 12}}
            kept = run(gateway_release, {"root": str(root), **given})["unit_releases"][unit]
            assert kept == ("c" * 12 if program == b"2" else "a" * 12)

    def test_the_interface_stays_with_its_release_while_its_programs_are_the_same(self, root: Path) -> None:
        self.unpack(root, "a" * 12)
        assert self.unpack(root, "b" * 12, "a" * 12)["unit_releases"]["wireguard"] == "a" * 12
        assert self.unpack(root, "c" * 12, "a" * 12, b"2")["unit_releases"]["wireguard"] == "c" * 12
        shutil.rmtree(root / ("a" * 12))
        assert self.unpack(root, "b" * 12, "a" * 12)["unit_releases"]["wireguard"] == "b" * 12

    @pytest.mark.parametrize("unit", gateway_release.FILES)
    def test_a_units_programs_are_those_that_the_image_has(self, unit: str) -> None:
        """A path that is in no release would never be the same, and cost every upgrade its tunnels."""
        programs = [path for path in gateway_release.FILES[unit] if path.startswith("opt/")]
        assert programs
        assert all((REPOSITORY / path.removeprefix("opt/meshgate/app/")).is_file() for path in programs)

    def test_check_mode_does_nothing(self, root: Path) -> None:
        assert self.unpack(root, "a" * 12, check=True)["changed"]
        assert [path.name for path in root.iterdir()] == [".artifact.tar.gz"]

    def test_a_name_that_is_none(self, root: Path) -> None:
        assert self.unpack(root, "../etc")["failed"]


class TestIdentity:
    @pytest.fixture
    def root(self, tmp_path: Path, commands: Commands) -> Path:
        (tmp_path / "root/usr/bin").mkdir(parents=True)
        (tmp_path / "root/usr/bin/wg").touch()
        commands.answer = lambda _: (0, "the public key\n", "")
        return tmp_path / "root"

    def held(self, tmp_path: Path) -> dict[str, str]:
        return {name: (tmp_path / name).read_text().strip() for name in ("private-key", "tokens")}

    def give(self, tmp_path: Path, check: bool = False, **secrets: str) -> Outcome:
        arguments = {"directory": str(tmp_path), "root": str(tmp_path / "root"), **secrets}
        return run(gateway_identity, arguments, check=check)

    def test_what_is_not_given_is_made_once(self, tmp_path: Path, root: Path) -> None:
        made = self.give(tmp_path)
        assert (made["changed"], made["public_key"]) == (True, "the public key")
        first = self.held(tmp_path)
        key = base64.b64decode(first["private-key"])
        assert (key[0] & 7, key[31] & 192, curve25519.is_key(first["private-key"])) == (0, 64, True)
        made_tokens = [line.split() for line in first["tokens"].splitlines()]
        assert [scope for scope, _ in made_tokens] == ["register", "admin"]
        assert all(Tokens(first["tokens"]).grant(token) for _, token in made_tokens)
        assert {(tmp_path / name).stat().st_mode & 0o777 for name in first} == {0o600}
        assert self.give(tmp_path)["changed"] is False
        assert self.held(tmp_path) == first

    def test_what_certificates_are_issued_with_comes_and_goes(self, tmp_path: Path, root: Path) -> None:
        self.give(tmp_path)
        given = {"issuing_certificate": "a chain\n", "issuing_key": "a key\n"}
        added = self.give(tmp_path, False, **given)
        assert added["diff"]["after"] == "new issuing-certificate\nnew issuing-key\n"
        assert (tmp_path / "issuing-key").read_text() == "a key\n"
        assert (tmp_path / "issuing-key").stat().st_mode & 0o777 == 0o600
        assert self.give(tmp_path, False, **given)["changed"] is False
        assert self.give(tmp_path)["changed"] is True
        assert not (tmp_path / "issuing-key").exists()

    def test_what_is_given_replaces_what_is_there_and_is_never_shown(self, tmp_path: Path, root: Path) -> None:
        self.give(tmp_path)
        secret = curve25519.generate_private_key()
        changed = self.give(tmp_path, private_key=secret, tokens=f"# of June\nread,register {TOKEN}\n")
        assert self.held(tmp_path) == {"private-key": secret, "tokens": f"# of June\nread,register {TOKEN}"}
        assert changed["diff"] == {"before": "", "after": "new private-key\nnew tokens\n"}
        assert secret not in json.dumps(changed)
        assert TOKEN not in json.dumps(changed)
        assert self.give(tmp_path, private_key=secret)["changed"] is False

    def test_without_a_key_pair_none_is_made_and_one_from_before_stays(self, tmp_path: Path, root: Path) -> None:
        made = self.give(tmp_path, key_pair="false")
        assert (made["diff"]["after"], made["public_key"]) == ("new tokens\n", "")
        assert not (tmp_path / "private-key").exists()
        self.give(tmp_path)
        before = self.held(tmp_path)
        given_up = self.give(tmp_path, key_pair="false")
        assert (given_up["changed"], given_up["public_key"]) == (False, "")
        assert self.give(tmp_path)["changed"] is False
        assert self.held(tmp_path) == before

    def derived(self, commands: Commands) -> None:
        """`wg pubkey`, as it is."""
        commands.answer = lambda _: (0, curve25519.public_key(commands.told[-1] or ""), "")

    def test_the_key_of_a_host_becomes_the_previous_one_of_a_new_one(
        self, tmp_path: Path, root: Path, commands: Commands
    ) -> None:
        self.derived(commands)
        first = self.give(tmp_path)["public_key"]
        before = self.held(tmp_path)["private-key"]
        rotated = self.give(tmp_path, keep_previous="true", previous_public_key=first)
        assert rotated["diff"]["after"] == "new previous-private-key\nnew private-key\n"
        assert (tmp_path / "previous-private-key").read_text().strip() == before
        assert rotated["previous_public_key"] == first != rotated["public_key"]
        again = self.give(tmp_path, keep_previous="true", previous_public_key=first)
        assert (again["changed"], again["public_key"]) == (False, rotated["public_key"])
        second = self.give(tmp_path, keep_previous="true", previous_public_key=rotated["public_key"])
        assert second["previous_public_key"] == rotated["public_key"], "another rotation, with no play between"
        ended = self.give(tmp_path)
        assert (ended["public_key"], ended["previous_public_key"]) == (second["public_key"], "")
        assert not (tmp_path / "previous-private-key").exists()

    def test_a_rotation_that_was_killed_is_made_up_for(self, tmp_path: Path, root: Path, commands: Commands) -> None:
        self.derived(commands)
        first = self.give(tmp_path)["public_key"]
        (tmp_path / "previous-private-key").write_text((tmp_path / "private-key").read_text())
        rotated = self.give(tmp_path, keep_previous="true", previous_public_key=first)
        assert rotated["diff"]["after"] == "new private-key\n"
        assert rotated["previous_public_key"] == first != rotated["public_key"]

    def test_both_keys_may_be_given(self, tmp_path: Path, root: Path, commands: Commands) -> None:
        self.derived(commands)
        old, new = curve25519.generate_private_key(), curve25519.generate_private_key()
        given = {"private_key": new, "previous_private_key": old, "keep_previous": "true"}
        told = self.give(tmp_path, False, **given)
        assert (told["public_key"], told["previous_public_key"]) == tuple(map(curve25519.public_key, (new, old)))
        assert (tmp_path / "previous-private-key").stat().st_mode & 0o777 == 0o600
        assert not [secret for secret in (old, new) if secret in json.dumps(told)]
        assert self.give(tmp_path, False, **given)["changed"] is False

    def test_a_key_before_the_first_one_is_refused(self, tmp_path: Path, root: Path, commands: Commands) -> None:
        self.derived(commands)
        same = curve25519.generate_private_key()
        for given in ({}, {"private_key": same, "previous_private_key": same}, {"previous_public_key": "another"}):
            refused = self.give(tmp_path, False, keep_previous="true", **given)
            assert refused["msg"].startswith("meshgate_gateway.previous_key: there is no WireGuard key before the pres")
            assert [path.name for path in tmp_path.iterdir()] == ["root"], "nothing is touched"
        refused = self.give(tmp_path, False, keep_previous="true", previous_private_key="not-a-key")
        assert refused["msg"].startswith("meshgate_previous_private_key is no WireGuard key: ")

    def test_check_mode_makes_nothing(self, tmp_path: Path, root: Path) -> None:
        looked = self.give(tmp_path, check=True)
        assert (looked["changed"], looked["public_key"]) == (True, "")
        assert [path.name for path in tmp_path.iterdir()] == ["root"]

    def test_a_text_that_is_no_key_is_not_repeated(self, tmp_path: Path, root: Path) -> None:
        refused = self.give(tmp_path, private_key="not-a-key-but-perhaps-a-secret")
        assert refused["msg"].startswith("meshgate_private_key is no WireGuard key: ")
        assert "not-a-key" not in refused["msg"]

    @pytest.mark.parametrize(
        "line",
        ["just-a-token-without-a-scope", "register short", "write a-good-enough-token", "read, a-good-token-of-it"],
    )
    def test_tokens_that_the_agent_would_refuse_never_reach_it(self, tmp_path: Path, root: Path, line: str) -> None:
        with pytest.raises(SettingsError):
            Tokens(line)
        refused = self.give(tmp_path, tokens=f"admin {TOKEN}\n{line}\n")
        assert refused["msg"].startswith("meshgate_tokens: line 2 is not `SCOPES TOKEN`")
        assert line not in refused["msg"]
        assert not (tmp_path / "tokens").exists()


class TestSysctl:
    @pytest.fixture
    def switches(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setattr(gateway_sysctl, "SWITCHES", tmp_path / "proc")
        (tmp_path / "proc/net").mkdir(parents=True)
        (tmp_path / "proc/net/forward").write_text("0\n")
        return tmp_path / "proc/net/forward"

    def let(self, tmp_path: Path, check: bool = False) -> Outcome:
        return run(gateway_sysctl, {"path": str(tmp_path / "60.conf"), "values": {"net/forward": 1}}, check=check)

    def test_file_and_kernel_are_set_once(self, tmp_path: Path, switches: Path) -> None:
        assert self.let(tmp_path)["changed"]
        assert (tmp_path / "60.conf").read_text().splitlines()[1:] == ["net/forward = 1"]
        assert switches.read_text() == "1"
        assert self.let(tmp_path)["changed"] is False

    def test_either_alone_is_a_change(self, tmp_path: Path, switches: Path) -> None:
        self.let(tmp_path)
        switches.write_text("0\n")
        again = self.let(tmp_path)
        assert again["changed"]
        assert "(now net/forward = 0)" in again["diff"]["before"]
        (tmp_path / "60.conf").unlink()
        assert self.let(tmp_path)["changed"]

    def test_check_mode_sets_nothing(self, tmp_path: Path, switches: Path) -> None:
        assert self.let(tmp_path, check=True)["changed"]
        assert (switches.read_text(), (tmp_path / "60.conf").exists()) == ("0\n", False)


class TestBefore:
    NOTED = '{"nftables": [{"metainfo": {}}, {"table": {"family": "ip", "name": "nat"}}]}'

    @pytest.fixture
    def network(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setattr(gateway_before, "NET", tmp_path / "net")
        for name in ("all", "eth0"):
            for version, switches in gateway_before.SWITCHES:
                directory = tmp_path / "net" / version / "conf" / name
                directory.mkdir(parents=True)
                for switch in switches:
                    (directory / switch).write_text("0\n")
        return tmp_path / "net"

    def be(self, tmp_path: Path, state: str, check: bool = False, **more: object) -> Outcome:
        arguments = {"state": state, "path": str(tmp_path / "before.json"), "root": "/release", **more}
        return run(gateway_before, arguments, check=check)

    def test_it_is_noted_once_and_put_back(self, tmp_path: Path, network: Path, commands: Commands) -> None:
        commands.answer = lambda _: (0, self.NOTED, "")
        vendor = {"active": True, "enabled": False}
        assert self.be(tmp_path, "noted", check=True)["changed"]
        assert self.be(tmp_path, "noted", tailscaled=vendor)["changed"]
        (network / "ipv4/conf/all/forwarding").write_text("1\n")
        assert self.be(tmp_path, "noted", tailscaled={})["changed"] is False

        empty = {"type": "filter", "policy": "accept", "hook": "forward"}
        now = [
            *({"table": {"family": "ip", "name": name}} for name in ("nat", "filter", "mangle", "users")),
            {"chain": {"family": "ip", "table": "filter", "name": "FORWARD", **empty}},
            {"chain": {"family": "ip", "table": "mangle", "name": "OUTPUT", **empty}},
            {"rule": {"family": "ip", "table": "mangle", "chain": "OUTPUT"}},
            {"table": {"family": "inet", "name": "meshgate"}},
            {"rule": {"family": "inet", "table": "meshgate", "chain": "input"}},
            {"table": {"family": "inet", "name": "meshgate_rotation"}},
        ]
        rules = {"-4": [{"priority": 5182}], "-6": []}

        def answer(command: list[str]) -> ANSWER:
            return (0, json.dumps(rules[command[2]] if "-json" in command else {"nftables": now}), "")

        commands.answer = answer
        commands.ran.clear()
        assert self.be(tmp_path, "restored", check=True)["changed"]
        looks = [["ip", "-json", family, "rule", "show", "pref", "5182"] for family in rules]
        assert commands.ran[1:] == looks
        commands.ran.clear()
        restored = self.be(tmp_path, "restored")
        assert (network / "ipv4/conf/all/forwarding").read_text() == "0"
        assert commands.ran[1:] == [
            ["chroot", "/release", "nft", "delete", "table", "inet", "meshgate"],
            ["chroot", "/release", "nft", "delete", "table", "inet", "meshgate_rotation"],
            ["chroot", "/release", "nft", "delete", "table", "ip", "filter"],
            looks[0],
            ["ip", "-4", "rule", "delete", "pref", "5182"],
            looks[1],
            ["systemctl", "start", "tailscaled.service"],
        ]
        assert "no table inet meshgate" in restored["diff"]["after"]
        assert self.be(tmp_path, "restored")["changed"] is False

    def test_interfaces_that_have_gone_are_passed_over(self, tmp_path: Path, network: Path, commands: Commands) -> None:
        commands.answer = lambda _: (0, self.NOTED, "")
        self.be(tmp_path, "noted")
        shutil.rmtree(network / "ipv4/conf/eth0")
        assert self.be(tmp_path, "restored")["changed"]


class TestUnit:
    NAME = "meshgate-agent.service"

    @pytest.fixture
    def unit(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, commands: Commands) -> dict[str, str]:
        """The unit as systemd shows it: started a minute after its files were written."""
        monkeypatch.setattr(gateway_unit, "DIRECTORY", tmp_path)
        state = {
            "ActiveState": "active",
            "UnitFileState": "enabled",
            "MainPID": str(os.getpid()),
            "NeedDaemonReload": "no",
            "ExecMainStartTimestampMonotonic": str(int((time.clock_gettime(time.CLOCK_MONOTONIC) - 60) * 1e6)),
        }
        (tmp_path / self.NAME).write_text(
            f"[Service]\nEnvironmentFile={tmp_path}/env\nLoadCredential=token:{tmp_path}/token\nExecStart=/bin/true\n"
        )
        for name in (self.NAME, "env", "token"):
            (tmp_path / name).touch()
            os.utime(tmp_path / name, (time.time() - 120,) * 2)
        commands.answer = lambda command: (
            (0, "".join(f"{name}={value}\n" for name, value in state.items()), "")
            if command[1] == "show"
            else (0, "", "")
        )
        return state

    def converge(self, check: bool = False, **more: object) -> Outcome:
        return run(gateway_unit, {"name": self.NAME, **more}, check=check)

    def verbs(self, commands: Commands) -> list[str]:
        return [command[1] for command in commands.ran if command[0] == "systemctl" and command[1] != "show"]

    def test_what_is_current_goes_on(self, unit: dict[str, str], commands: Commands) -> None:
        assert self.converge()["changed"] is False
        assert self.converge(pending=True)["changed"] is False
        assert self.verbs(commands) == []

    @pytest.mark.parametrize("name", [NAME, "env", "token"])
    def test_a_newer_file_restarts_it(
        self, unit: dict[str, str], commands: Commands, tmp_path: Path, name: str
    ) -> None:
        os.utime(tmp_path / name)
        changed = self.converge()
        assert changed["reasons"] == [f"{tmp_path / name} is newer than its process"]
        assert self.verbs(commands) == ["restart"]

    def test_a_replaced_program_restarts_it(
        self, unit: dict[str, str], commands: Commands, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(gateway_unit, "program_replaced", lambda _: True)
        assert self.converge()["changed"]
        assert self.verbs(commands) == ["restart"]

    @pytest.mark.parametrize(
        ("differences", "verbs"),
        [
            ({"ActiveState": "failed"}, ["restart"]),
            ({"UnitFileState": "disabled"}, ["enable"]),
            ({"ActiveState": "inactive", "UnitFileState": "disabled"}, ["restart", "enable"]),
            ({"NeedDaemonReload": "yes"}, ["daemon-reload"]),
        ],
    )
    def test_it_is_made_to_run(
        self, unit: dict[str, str], commands: Commands, differences: dict[str, str], verbs: list[str]
    ) -> None:
        unit.update(differences)
        self.converge()
        assert self.verbs(commands) == verbs

    def test_check_mode_tells_and_does_nothing(self, unit: dict[str, str], commands: Commands, tmp_path: Path) -> None:
        assert self.converge(check=True)["changed"] is False
        assert self.converge(check=True, pending=True)["reasons"] == ["its files change"]
        unit["ActiveState"] = "inactive"
        assert self.converge(check=True)["reasons"] == ["it does not run"]
        (tmp_path / self.NAME).unlink()
        assert self.converge(check=True)["reasons"] == ["there is no such unit yet"]
        assert self.verbs(commands) == []

    def test_a_unit_that_does_not_start_says_its_last_words(self, unit: dict[str, str], commands: Commands) -> None:
        unit["ActiveState"] = "failed"
        show = commands.answer
        journal = 'one\n  two\n{"ts": "2026", "event": "no \\"key\\""}\n{"ts": 1}\n7\n'
        answers = {"restart": (1, "", "Job failed."), "--unit": (0, journal, "")}
        commands.answer = lambda command: answers.get(command[1], show(command))
        refused = self.converge()
        assert refused["msg"] == (
            "systemctl restart meshgate-agent.service failed: Job failed. "
            'Its last words: one | two | no "key" | {"ts": 1} | 7'
        )

    def test_absent(self, unit: dict[str, str], commands: Commands, tmp_path: Path) -> None:
        assert self.converge(check=True, state="absent")["changed"]
        assert self.verbs(commands) == []
        assert self.converge(state="absent")["changed"]
        assert self.verbs(commands) == ["disable", "daemon-reload", "reset-failed"]
        assert not (tmp_path / self.NAME).exists()
        assert self.converge(state="absent")["changed"] is False


class TestTailscaleUp:
    ARGUMENTS = (
        "--login-server=https://headscale.test",
        "--hostname=meshgate-edge",
        "--advertise-exit-node",
        "--stateful-filtering=false",
        "--accept-dns=false",
        "--accept-routes=false",
    )
    KEY = "hskey-auth-a-secret"
    JOINED: Outcome = {  # noqa: RUF012 - not changed
        "state": "Running",
        "joined": True,
        "url": "https://headscale.test",
        "node_key": "nodekey:1",
        "preferences": {
            "ControlURL": "https://headscale.test",
            "Hostname": "meshgate-edge",
            "AdvertiseRoutes": ["0.0.0.0/0", "::/0"],
            "NoStatefulFiltering": True,
            "CorpDNS": False,
            "RouteAll": False,
            "WantRunning": True,
        },
    }
    NEW: Outcome = {"state": "NeedsLogin", "joined": False, "url": "", "node_key": "", "preferences": {}}  # noqa: RUF012

    @pytest.fixture(autouse=True)
    def quick(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tailscale_up, "START_SECONDS", 0.0)

    def up(self, check: bool = False, **more: object) -> Outcome:
        return run(
            tailscale_up, {"program": "/usr/bin/tailscale", "arguments": list(self.ARGUMENTS), **more}, check=check
        )

    def test_it_joins_by_a_key_that_is_told_on_standard_input_only(
        self, monkeypatch: pytest.MonkeyPatch, commands: Commands
    ) -> None:
        says = [self.NEW, self.JOINED]
        monkeypatch.setattr(tailscale_up, "seen", lambda _: says.pop(0))
        joined = self.up(pre_auth_key=self.KEY)
        assert (joined["changed"], joined["node_key"]) == (True, "nodekey:1")
        assert commands.told == [self.KEY]
        (command,) = commands.ran
        assert command[-1] == "--auth-key=file:/dev/stdin"
        assert not any(self.KEY in word for word in command)
        assert "--force-reauth" not in command
        assert self.KEY not in json.dumps(joined)

    def test_a_host_that_has_joined_is_left_alone(self, monkeypatch: pytest.MonkeyPatch, commands: Commands) -> None:
        monkeypatch.setattr(tailscale_up, "seen", lambda _: self.JOINED)
        assert self.up()["changed"] is False
        assert commands.ran == []

    def test_other_preferences_need_no_key(self, monkeypatch: pytest.MonkeyPatch, commands: Commands) -> None:
        other = self.JOINED | {"preferences": self.JOINED["preferences"] | {"Hostname": "old"}}
        monkeypatch.setattr(tailscale_up, "seen", lambda _: other)
        looked = self.up(check=True)
        assert looked["diff"] == {"before": "Hostname: old\n", "after": "Hostname: meshgate-edge\n"}
        assert commands.ran == []
        assert self.up()["changed"]
        (command,) = commands.ran
        assert not any(word.startswith("--auth-key") for word in command)

    def test_another_server_is_joined_anew(self, monkeypatch: pytest.MonkeyPatch, commands: Commands) -> None:
        monkeypatch.setattr(tailscale_up, "seen", lambda _: self.JOINED | {"url": "https://old.test"})
        assert self.up(pre_auth_key=self.KEY)["changed"]
        assert "--force-reauth" in commands.ran[0]

    def test_a_host_that_headscale_has_forgotten_joins_anew(
        self, monkeypatch: pytest.MonkeyPatch, commands: Commands
    ) -> None:
        monkeypatch.setattr(tailscale_up, "seen", lambda _: self.JOINED)
        assert self.up(check=True, forgotten=True)["changed"]
        assert commands.ran == []
        assert self.up(pre_auth_key=self.KEY, forgotten=True)["changed"]
        assert commands.ran[0][-2:] == ["--force-reauth", "--auth-key=file:/dev/stdin"]

    def test_without_a_key_it_says_so(self, monkeypatch: pytest.MonkeyPatch, commands: Commands) -> None:
        monkeypatch.setattr(tailscale_up, "seen", lambda _: None)
        assert self.up(check=True)["changed"]
        assert "there is no pre-auth key" in self.up()["msg"]
        assert commands.ran == []

    def test_a_failure_does_not_repeat_the_key(self, monkeypatch: pytest.MonkeyPatch, commands: Commands) -> None:
        monkeypatch.setattr(tailscale_up, "seen", lambda _: self.NEW)
        commands.answer = lambda _: (1, "", f"backend error:\n key {self.KEY} is used up")
        refused = self.up(pre_auth_key=self.KEY)["msg"]
        assert refused.endswith("says: backend error: key (the key) is used up")

    def test_an_argument_that_cannot_be_compared(self, commands: Commands) -> None:
        assert self.up(arguments=["--ssh"])["msg"].startswith("--ssh is no argument of `tailscale up`")
