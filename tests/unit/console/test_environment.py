"""A hostile environment reaches no program that is run; a download's proxy does, and a user's own Pulumi gets all."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from console import environment
from console.run import capture, run

HOSTILE = {
    "PULUMI_ACCESS_TOKEN": "x",
    "PULUMI_BACKEND_URL": "s3://mine",
    "KUBECONFIG": "/mine",
    "GOFLAGS": "-mod=vendor",
    "GOOS": "plan9",
    "PYTHONPATH": "/mine",
    "PYTHONHOME": "/mine",
    "PIP_TARGET": "/mine",
    "UV_PYTHON": "3.8",
    "MAKEFLAGS": "-n",
    "LC_ALL": "de_DE.ISO-8859-1",
    "LANG": "de_DE.ISO-8859-1",
    "CI": "true",
    "TS_DEBUG_USE_DERP_HTTP": "1",
    "CONTAINERS_CONF": "/mine",
    "BUILDAH_ISOLATION": "rootless",
    "ANSIBLE_CONFIG": "/mine",
    "SSH_AUTH_SOCK": "/mine",
    "APT_CONFIG": "/mine",
    "LD_PRELOAD": "",
}
PROXIES = {"HTTPS_PROXY": "http://proxy.invalid:3128", "no_proxy": "localhost", "GOPROXY": "https://mirror.invalid"}
SHOW = (sys.executable, "-c", "import os; print('\\n'.join(os.environ))")


@pytest.fixture(autouse=True)
def hostile(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**HOSTILE, **PROXIES}.items():
        monkeypatch.setenv(name, value)


def test_a_program_sees_nothing_of_it() -> None:
    seen = set(capture(SHOW, doing="look").split())
    assert seen.isdisjoint({*HOSTILE, *PROXIES} - {"LANG"})
    assert {"HOME", "PATH", "LANG"} <= seen


def test_nor_does_one_whose_output_goes_into_a_log(tmp_path: Path) -> None:
    run(SHOW, doing="look", log=tmp_path / "log", env={"ADDED": "1"})
    seen = set((tmp_path / "log").read_text().split())
    assert seen.isdisjoint({*HOSTILE, *PROXIES} - {"LANG"})
    assert "ADDED" in seen


def test_words_are_english_and_utf_8() -> None:
    assert environment.clean()["LANG"] == "C.UTF-8"


def test_a_download_has_the_proxies_and_mirrors_and_no_more() -> None:
    assert environment.downloading().items() >= {**environment.clean(), **PROXIES}.items()
    assert set(environment.downloading()).isdisjoint(set(HOSTILE) - {"LANG"})


def test_what_is_run_as_the_caller_has_it_all() -> None:
    assert environment.callers().items() >= {**HOSTILE, **PROXIES}.items()


def test_the_systems_programs_are_found_also_after_su(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/mine:/usr/bin")
    path = environment.clean()["PATH"].split(":")
    assert path[:2] == ["/mine", "/usr/bin"]
    assert path.count("/usr/bin") == 1
    assert "/usr/sbin" in path


def test_a_process_that_enters_it_keeps_what_its_downloads_need() -> None:
    program = (
        "import os; from console import environment as e; e.enter();"
        "assert dict(os.environ) == e.clean(); print(*sorted(set(e.downloading()) - set(os.environ)))"
    )
    done = subprocess.run(
        [sys.executable, "-E", "-c", program], env=os.environ, check=True, capture_output=True, text=True
    )
    assert done.stdout.split() == sorted(PROXIES)
