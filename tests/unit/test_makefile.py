"""What make hands on of the caller's environment."""

import os
import subprocess

from lab import paths

PROBE = ("make", "--eval", "probe:; @env", "probe")


def seen(**hostile: str) -> dict[str, str]:
    done = subprocess.run(
        PROBE, cwd=paths.REPOSITORY, env={**os.environ, **hostile}, check=True, capture_output=True, text=True
    )
    return dict(line.partition("=")[::2] for line in done.stdout.splitlines())


def test_of_settings_for_python_pip_and_uv_only_mirrors_count() -> None:
    hostile = {"PYTHONPATH": "/mine", "PYTHONWARNINGS": "error", "PIP_TARGET": "/mine", "UV_PYTHON": "3.8"}
    mirrors = {"PIP_INDEX_URL": "https://mirror.invalid", "UV_DEFAULT_INDEX": "https://mirror.invalid"}
    environment = seen(**hostile, **mirrors)
    assert hostile.keys().isdisjoint(environment)
    assert environment.items() >= mirrors.items()


def test_packages_come_by_the_machines_own_cas_and_into_the_labs_cache() -> None:
    environment = seen(UV_SYSTEM_CERTS="false", UV_CACHE_DIR="/mine")
    assert environment["UV_SYSTEM_CERTS"] == "true"
    assert environment["UV_CACHE_DIR"].startswith(str(paths.cache()))


def test_the_users_own_pulumi_keeps_its_settings() -> None:
    assert seen(PULUMI_ACCESS_TOKEN="x")["PULUMI_ACCESS_TOKEN"] == "x"


def test_ci_starts_make_with_home_and_path_alone() -> None:
    *_, last = (paths.REPOSITORY / ".ci" / "run").read_text().splitlines()
    assert last == 'exec env -i HOME="$HOME" PATH="$PATH" make test'
