"""The shell steps of the workflows: what they call, what they make of the answers, what they leave to a reader."""

import json
from pathlib import Path
from typing import Any

import pytest

from review import markdown
from review.verdict import Report, Verdict
from tests.unit.workflows.runner import Runner

MARKER = "<!-- meshgate-review -->"
REVIEW = (
    MARKER
    + """
<!-- verdicts: {0}={1} -->
## What `pulumi up` would do

### `{0}`: {2}

<details>
<summary>Every change, field by field</summary>
{3}
</details>
"""
)
UNCHANGED = ("unchanged", "NO CHANGES", "")
CHANGED = ("danger", "1 replaced", "- the key")
PREVIEWS = [("preview", "preview"), ("drift", "look")]
FINDERS = ["access", "preview", "deploy", "drift"]


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    return Runner(tmp_path)


# Which environments there are, and in which order


def found(runner: Runner) -> dict[str, Any]:
    """What the job's outputs are."""
    lines = (line.partition("=") for line in runner.output.splitlines())
    return {name: json.loads(value) for name, _, value in lines}


def settings(runner: Runner, *stacks: str) -> None:
    for stack in stacks:
        (runner.work / f"Pulumi.{stack}.yaml").write_text("config:\n  meshgate:protect: true\n")


@pytest.mark.parametrize("name", FINDERS)
def test_every_stack_with_settings_but_the_lab_is_an_environment(runner: Runner, name: str) -> None:
    settings(runner, "lab", "dev", "prod")
    (runner.work / "Pulumi.example.yaml").write_text("# config:\n#  key: 1\n")
    (runner.work / "Pulumi.yaml").write_text("name: meshgate\n")
    done = runner.run(name, "environments", "Find")
    assert (done.returncode, done.stderr) == (0, "")
    assert 'names=["dev","prod"]\n' in runner.output


def test_without_any_the_lists_are_empty(runner: Runner) -> None:
    settings(runner, "lab")
    assert runner.run("deploy", "environments", "Find").returncode == 0
    assert found(runner) == {"names": [], "first": [], "second": [], "third": [], "fourth": []}


def test_a_deployment_goes_line_by_line_and_passes_over_what_is_not_there(runner: Runner) -> None:
    runner.ordered("# first the small ones", "dev", "staging", "", "prod-us prod-eu  # side by side")
    settings(runner, "prod-eu", "dev", "prod-us")
    assert runner.run("deploy", "environments", "Find").returncode == 0
    assert found(runner) == {
        "names": ["dev", "prod-us", "prod-eu"],
        "first": ["dev"],
        "second": ["prod-us", "prod-eu"],
        "third": [],
        "fourth": [],
    }


def test_one_environment_alone_is_the_only_stage(runner: Runner) -> None:
    settings(runner, "dev", "prod")
    runner.github["inputs.environment"] = "prod"
    assert runner.run("deploy", "environments", "Find").returncode == 0
    assert (found(runner)["first"], found(runner)["second"]) == (["prod"], [])


@pytest.mark.parametrize(
    ("lines", "only", "sentence"),
    [
        (["prod"], "", ".github/promotion names the environment dev not at all: give it one place in the order."),
        (["dev", "prod dev"], "", ".github/promotion names the environment dev twice: give it one place in the order."),
        (
            ["dev", "prod"],
            "$(id)",
            "There is no environment $(id): commit its Pulumi.$(id).yaml, or take one of dev, prod.",
        ),
        (
            ["dev", "prod", "a", "b", "c"],
            "",
            ".github/promotion has 5 stages, and deploy.yml 4: put environments on one line.",
        ),
    ],
)
def test_an_order_that_is_none_is_refused(runner: Runner, lines: list[str], only: str, sentence: str) -> None:
    settings(runner, "dev", "prod", *lines[2:])
    runner.ordered(*lines)
    runner.github["inputs.environment"] = only
    done = runner.run("deploy", "environments", "Find")
    assert (done.returncode, done.stderr) == (1, f"{sentence}\n")


# A preview


@pytest.mark.parametrize(("name", "job"), PREVIEWS)
def test_a_preview_is_kept_for_the_next_job_and_shown_in_the_summary(runner: Runner, name: str, job: str) -> None:
    runner.stack()
    runner.github["secrets.KUBECONFIG"] = "apiVersion: v1\n"
    runner.program(
        "make",
        'echo "$@" >make.txt; cat "$KUBECONFIG"; echo "$PULUMI_BACKEND_URL $PULUMI_CONFIG_PASSPHRASE"; '
        'echo "[${KUBECONFIG_CONTENT-unset} ${AWS_ROLE_ARN-unset}]"; stat -c %a "$KUBECONFIG"; '
        'echo "$KUBECONFIG" >kubeconfig.txt',
    )
    done = runner.run(name, job, "Preview")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert (runner.work / "make.txt").read_text() == "-s preview STACK=prod FORMAT=markdown POLICY_PACK=policy\n"
    report = (runner.work / "reports" / "preview-prod.md").read_text()
    assert report == "apiVersion: v1\ns3://state?region=eu-central-1 the passphrase\n[unset unset]\n600\n"
    assert runner.summary == report
    assert not Path((runner.work / "kubeconfig.txt").read_text().strip()).exists()


def test_a_preview_that_fails_fails_the_step_and_is_shown_all_the_same(runner: Runner) -> None:
    runner.stack()
    runner.program("make", "echo '### prod'; echo why >&2; exit 2")
    done = runner.run("preview", "preview", "Preview")
    assert done.returncode == 2
    assert done.stderr.endswith("why\n")
    assert (runner.work / "reports" / "preview-prod.md").read_text() == "### prod\n"
    assert runner.summary == "### prod\n"


def test_a_preview_that_never_began_says_so(runner: Runner) -> None:
    runner.stack()
    runner.github["vars.PULUMI_BACKEND_URL"] = ""
    done = runner.run("preview", "preview", "Preview")
    assert done.returncode == 1
    assert (
        "✗ PULUMI_BACKEND_URL is missing: add it to the variables of the GitHub environment prod-preview.\n"
        in done.stderr
    )
    assert runner.summary.startswith(f"{MARKER}\n<!-- verdicts: prod=failed -->\n\n### `prod`: no preview\n")


def test_a_stack_of_machines_alone_needs_no_kubeconfig(runner: Runner) -> None:
    runner.stack()
    runner.program("make", 'echo "[${KUBECONFIG-unset}]"')
    done = runner.run("preview", "preview", "Preview")
    assert done.returncode == 0, done.stderr
    assert runner.summary == "[unset]\n"


# A deployment


@pytest.mark.parametrize("code", [0, 255])
def test_up_runs_with_the_rules_and_without_a_question_after_a_trial(runner: Runner, code: int) -> None:
    runner.stack()
    runner.pulumi(f'echo "$@"; exit {code}')
    done = runner.run("deploy", "first", "Up")
    assert done.returncode == code, done.stderr
    assert done.stdout == "up --stack prod --yes --non-interactive --policy-pack policy\n"
    tried = [line.split()[0] for line in (runner.work / "pulumi.txt").read_text().splitlines()]
    assert [one for one in tried if one != "version"] == ["whoami", "stack", "config", "up"]
    assert "the state's secrets" not in done.stderr


def test_nothing_is_upped_when_the_trial_fails(runner: Runner) -> None:
    runner.stack()
    runner.program(
        "pulumi", "[ $1 = version ] && echo v3.272.0 || { echo 'error: incorrect passphrase' >&2; exit 255; }"
    )
    done = runner.run("deploy", "first", "Up")
    assert done.returncode == 1
    assert "Could not open the backend: pulumi ended with status 255: error: incorrect passphrase" in done.stderr


def test_access_checks_the_environment_that_it_is_for_and_changes_nothing(runner: Runner) -> None:
    runner.stack()
    done = runner.run("access", "check", "Check")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    runner.github["secrets.PULUMI_CONFIG_PASSPHRASE"] = ""
    done = runner.run("access", "check", "Check")
    assert done.returncode == 1
    assert (
        "the GitHub environment prod-preview, since Pulumi.prod.yaml is encrypted with a passphrase.\n" in done.stderr
    )


@pytest.mark.parametrize(("name", "job"), [("checks", "check"), ("deploy", "check")])
def test_the_check_is_the_projects_own(runner: Runner, name: str, job: str) -> None:
    runner.program("make", 'echo "$@"')
    assert runner.run(name, job, "Check").stdout == "check\n"


# The comment


def report(runner: Runner, **texts: tuple[str, str, str]) -> None:
    """Let there be reports of just these environments: verdict, heading, details."""
    (runner.work / "reports").mkdir(exist_ok=True)
    for file in (runner.work / "reports").iterdir():
        file.unlink()
    for name, text in texts.items():
        (runner.work / "reports" / f"preview-{name}.md").write_text(REVIEW.format(name, *text))


def publish(runner: Runner, *, drift: bool = False) -> dict[str, Any]:
    done = runner.run(*(("drift", "issue", "Issue") if drift else ("preview", "comment", "Comment")))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return runner.read_github()


def someones(body: str, kind: str = "User") -> dict[str, Any]:
    return {"body": body, "user": {"login": "someone", "type": kind}}


def test_all_previews_are_one_comment(runner: Runner) -> None:
    report(runner, dev=UNCHANGED, prod=CHANGED)
    world = publish(runner)
    (comment,) = world["comments"]
    assert comment["issue"] == 7
    assert comment["body"].splitlines() == [
        MARKER,
        "<!-- verdicts: dev=unchanged prod=danger -->",
        "## What `pulumi up` would do",
        "",
        "### `dev`: NO CHANGES",
        "",
        "<details>",
        "<summary>Every change, field by field</summary>",
        "",
        "</details>",
        "",
        "### `prod`: 1 replaced",
        "",
        "<details>",
        "<summary>Every change, field by field</summary>",
        "- the key",
        "</details>",
        "",
        "Of 0123456789, by [this run](https://github.com/acme/mesh/actions/runs/42).",
    ]


def test_a_report_is_understood_as_the_project_writes_it(runner: Runner) -> None:
    report(runner)
    written = {
        "dev": Report("dev", Verdict.UNCHANGED),
        "prod": Report("prod", Verdict.FAILED, errors=("It is broken.",)),
    }
    for name, one in written.items():
        (runner.work / "reports" / f"preview-{name}.md").write_text(markdown.comment([one]))
    (comment,) = publish(runner)["comments"]
    assert comment["body"].startswith(markdown.comment([*written.values()]).partition("\n###")[0].rstrip())
    assert "It is broken." in comment["body"]
    assert publish(runner, drift=True)["issues"][0]["title"] == "Not as the repository says: prod"


def test_the_next_push_updates_it(runner: Runner) -> None:
    others = [someones("looks good"), someones(f"{MARKER} not yours"), someones("by another bot", "Bot")]
    world = runner.read_github()
    world["comments"] = [{"id": number, "issue": 7} | one for number, one in enumerate(others)]
    runner.write_github(world)
    report(runner, dev=CHANGED, prod=CHANGED)
    publish(runner)
    report(runner, dev=CHANGED, prod=UNCHANGED)
    world = publish(runner)
    assert world["calls"] == [
        ["POST", "repos/acme/mesh/issues/7/comments"],
        ["PATCH", "repos/acme/mesh/issues/comments/1003"],
    ]
    assert [one["body"] for one in world["comments"][:3]] == [one["body"] for one in others]
    assert "<!-- verdicts: dev=danger prod=unchanged -->" in world["comments"][3]["body"]


def test_an_environment_without_a_report_is_told(runner: Runner) -> None:
    report(runner, dev=UNCHANGED)
    (comment,) = publish(runner)["comments"]
    assert "<!-- verdicts: dev=unchanged prod=failed -->" in comment["body"]
    assert "### `prod`: no preview" in comment["body"]


def test_what_github_would_not_take_loses_details_of_the_longest_first(runner: Runner) -> None:
    report(runner, dev=("changes", "1 changed", "- short"), prod=("danger", "1 replaced", "- a line\n" * 8000))
    (comment,) = publish(runner)["comments"]
    assert len(comment["body"]) < 1000
    assert "- short" in comment["body"]
    assert (
        "### `prod`: 1 replaced\n\n…\n\nWhat … stands for would be too long here: the run's summary has it."
        in comment["body"]
    )


def test_then_all_but_the_first_lines(runner: Runner) -> None:
    report(runner, dev=CHANGED, prod=("danger", "1 replaced\n\n" + "loud\n" * 20000, ""))
    (comment,) = publish(runner)["comments"]
    assert len(comment["body"]) < 1000
    assert "### `dev`: 1 replaced\n\n…\n\n### `prod`: 1 replaced\n\n…\n\nWhat … stands for" in comment["body"]


def test_a_refused_call_fails_the_step(runner: Runner) -> None:
    runner.github["github.token"] = "another"
    report(runner, dev=CHANGED, prod=CHANGED)
    done = runner.run("preview", "comment", "Comment")
    assert done.returncode == 1
    assert "Bad credentials" in done.stderr
    assert "repos/acme/mesh/issues/7/comments?per_page=100 ended with status 1." in done.stderr
    assert "another" not in done.stderr


# The issue


def test_no_drift_opens_nothing(runner: Runner) -> None:
    report(runner, dev=UNCHANGED, prod=UNCHANGED)
    assert publish(runner, drift=True)["calls"] == []


def test_drift_opens_one_issue_updates_it_and_closes_it(runner: Runner) -> None:
    world = runner.read_github()
    world["issues"] = [{"number": number, "state": "open"} | someones("something else") for number in range(1, 6)]
    runner.write_github(world)

    report(runner, dev=UNCHANGED, prod=CHANGED)
    world = publish(runner, drift=True)
    issue = world["issues"][-1]
    assert issue["title"] == "Not as the repository says: prod"
    assert issue["body"].startswith("<!-- meshgate-drift -->")
    assert "### `prod`: 1 replaced" in issue["body"]
    assert "`dev`" not in issue["body"]

    report(runner, dev=CHANGED)
    world = publish(runner, drift=True)
    assert len(world["issues"]) == 6
    assert world["issues"][-1]["title"] == "Not as the repository says: dev, prod"

    report(runner, dev=UNCHANGED, prod=UNCHANGED)
    world = publish(runner, drift=True)
    assert (world["issues"][-1]["state"], world["issues"][-1]["state_reason"]) == ("closed", "completed")
    assert world["comments"][-1]["body"].startswith("All is as the repository says")
    assert [one["state"] for one in world["issues"][:-1]] == ["open"] * 5
    assert [call[0] for call in world["calls"]] == ["POST", "PATCH", "POST", "PATCH"]


def test_an_environment_that_could_not_be_looked_at_is_no_all_clear(runner: Runner) -> None:
    report(runner, dev=UNCHANGED)
    (issue,) = publish(runner, drift=True)["issues"]
    assert issue["title"] == "Not as the repository says: prod"
