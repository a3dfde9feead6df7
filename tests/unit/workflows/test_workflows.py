"""What holds for every workflow: who it trusts, what it may do, what it runs."""

import itertools
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from lab import paths
from pipeline.names import CONTENT, KUBECONFIG, SECRETS, VARIABLES
from tests.unit.workflows.runner import ROOT, WORKFLOWS, workflow

NAMES = sorted(file.stem for file in WORKFLOWS.glob("*.yml"))
workflows = pytest.mark.parametrize("name", NAMES)
STAGES = ("first", "second", "third", "fourth")
OF_THIS_REPOSITORY = "github.event.pull_request.head.repo.full_name == github.repository"


def jobs(name: str) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = workflow(name)["jobs"]
    return found


def steps() -> Iterator[dict[str, Any]]:
    for name in NAMES:
        for job in jobs(name).values():
            yield from job["steps"]


def test_these_are_all() -> None:
    assert NAMES == ["access", "checks", "deploy", "drift", "nightly", "preview"]
    assert [file.name for file in WORKFLOWS.iterdir() if file.suffix != ".yml"] == []


def test_zizmor_finds_nothing() -> None:
    zizmor = Path(sys.executable).with_name("zizmor")
    done = subprocess.run(
        [zizmor, "--offline", "--no-progress", "--no-config", "--color=never", "--format=plain", ROOT / ".github"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert done.stdout.startswith("No findings to report.")


@workflows
def test_a_job_may_only_what_it_says(name: str) -> None:
    assert workflow(name)["permissions"] == {}
    writes = {
        (job, scope)
        for job, content in jobs(name).items()
        for scope, access in content["permissions"].items()
        if (access, scope) not in {("read", scope), ("write", "id-token")}
    }
    assert writes == {"preview": {("comment", "pull-requests")}, "drift": {("issue", "issues")}}.get(name, set())


@workflows
def test_a_job_that_may_write_sees_no_secret_and_a_job_ends_in_time(name: str) -> None:
    for job in jobs(name).values():
        assert job["timeout-minutes"] <= (90 if name == "nightly" else 60)
        if "write" in (access for scope, access in job["permissions"].items() if scope != "id-token"):
            assert "secrets." not in str(job)


@workflows
def test_a_job_says_who_it_is_to_a_cloud_only_in_an_environment(name: str) -> None:
    for job in jobs(name).values():
        assert ("id-token" in job["permissions"]) == ("environment" in job)


@workflows
def test_secrets_are_of_one_environment_and_reach_one_step(name: str) -> None:
    for job in jobs(name).values():
        steps_with_secrets = [step for step in job["steps"] if "secrets." in str(step)]
        if steps_with_secrets:
            assert job["environment"].startswith("${{ matrix.environment }}")
        assert all(set(step) == {"name", "env", "run"} for step in steps_with_secrets)
        assert len(steps_with_secrets) <= 1


def test_what_a_fork_sends_reaches_neither_secrets_nor_a_token_that_may_write() -> None:
    for name in NAMES:
        assert not {"pull_request_target", "workflow_run", "issue_comment"} & set(workflow(name)["on"])
    preview = jobs("preview")
    assert preview["environments"]["if"] == f"${{{{ {OF_THIS_REPOSITORY} }}}}"
    for job in ("preview", "comment"):
        assert "environments" in preview[job]["needs"]  # skipped with it
    assert preview["comment"]["steps"][0]["with"]["ref"] == "${{ github.event.pull_request.base.sha }}"


def test_every_step_with_secrets_is_given_all_that_an_environment_may_hold() -> None:
    given = {name: f"${{{{ vars.{name} }}}}" for name in VARIABLES}
    given |= {CONTENT if name == KUBECONFIG else name: f"${{{{ secrets.{name} }}}}" for name in SECRETS}
    found = [step for step in steps() if "secrets." in str(step)]
    assert len(found) == len(STAGES) + 3
    for step in found:
        own = {name: value for name, value in step["env"].items() if name not in {"STACK", "ENVIRONMENT"}}
        assert own == given
        assert step["env"]["STACK"] == "${{ matrix.environment }}"


def test_a_stage_is_deployed_one_run_at_a_time_after_the_checks_and_the_stage_before() -> None:
    deploy = jobs("deploy")
    assert list(deploy) == ["check", "environments", *STAGES]
    assert deploy["first"]["needs"] == ["check", "environments"]
    for before, stage in itertools.pairwise(STAGES):
        # A job that needs another runs only when that succeeded, unless its `if` says otherwise.
        assert deploy[stage]["needs"] == ["environments", before]
    for stage in STAGES:
        up = deploy[stage]
        assert up["if"] == f"${{{{ needs.environments.outputs.{stage} != '[]' }}}}"
        environments = f"${{{{ fromJSON(needs.environments.outputs.{stage}) }}}}"
        assert up["strategy"] == {"fail-fast": False, "matrix": {"environment": environments}}
        assert up["concurrency"] == {"group": "up-${{ matrix.environment }}", "cancel-in-progress": False}
        assert up["environment"] == "${{ matrix.environment }}"
        assert up["steps"] == deploy["first"]["steps"]


def test_what_is_deployed_is_on_main() -> None:
    assert set(workflow("deploy")["on"]) == {"push", "workflow_dispatch"}
    assert workflow("deploy")["on"]["push"] == {"branches": ["main"]}
    for job in ("check", "environments"):  # every other needs one of them
        assert jobs("deploy")[job]["if"] == "${{ github.ref == 'refs/heads/main' }}"


def test_actions_are_pinned_by_commit_each_to_one() -> None:
    pins = set()
    for file in WORKFLOWS.glob("*.yml"):
        for line in re.findall(r"uses: (.*)", file.read_text()):
            assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line), line
            pins.add(line)
    assert len({pin.split("@")[0] for pin in pins}) == len(pins)


def test_no_checkout_leaves_its_token_behind() -> None:
    checkouts = [step for step in steps() if step.get("uses", "").startswith("actions/checkout@")]
    assert len(checkouts) == 16
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_expressions_reach_shell_steps_by_their_env_alone() -> None:
    for step in steps():
        assert "${{" not in step.get("run", "")


def test_pulumi_is_of_the_sdks_version() -> None:
    versions = {step["with"]["pulumi-version"] for step in steps() if "pulumi/actions" in step.get("uses", "")}
    assert versions == {version("pulumi")}


def test_the_night_has_the_official_plugin_of_the_sdks_version_and_leaves_time_for_the_logs() -> None:
    (job,) = jobs("nightly").values()
    run = {step["name"]: step for step in job["steps"] if "run" in step}
    assert run["Plugin"]["run"] == f"pulumi plugin install resource kubernetes {version('pulumi-kubernetes')}"
    assert run["Test"]["timeout-minutes"] < job["timeout-minutes"]
    assert str(paths.LOGS) in run["Logs"]["run"]


def test_every_script_is_called_and_can_be() -> None:
    called = {step["run"].split()[0] for step in steps() if step.get("run", "").startswith(".github/")}
    scripts = {f".github/scripts/{file.name}" for file in (ROOT / ".github" / "scripts").iterdir() if file.is_file()}
    assert scripts == called
    assert all((ROOT / script).stat().st_mode & 0o111 for script in called)
