"""What is set at GitHub, as its own command line tells it: names of secrets, variables with their values."""

import json
from typing import Any

from console import programs, project
from console.environment import callers
from console.errors import StepError
from console.run import capture
from pipeline.names import SECRETS, VARIABLES, Given


def given(environment: str) -> Given:
    """What a GitHub environment holds, and what it has from the repository. Raises StepError, one sentence."""
    if programs.find("gh") is None:
        raise StepError("GitHub's command line `gh` is not on PATH: install it and `gh auth login`.")
    own_variables, own_secrets = _variables("--env", environment), _secrets("--env", environment)
    everywhere = {name: value for name, value in _variables().items() if name in (*VARIABLES, *SECRETS)}
    return Given(
        environment,
        everywhere | own_variables,
        own_secrets | (_secrets() & {*VARIABLES, *SECRETS}),
        others=frozenset((own_variables.keys() | own_secrets) - {*VARIABLES, *SECRETS}),
    )


def _variables(*where: str) -> dict[str, str]:
    return {one["name"]: one["value"] for one in _listed("variable", "name,value", *where)}


def _secrets(*where: str) -> frozenset[str]:
    return frozenset(one["name"] for one in _listed("secret", "name", *where))


def _listed(what: str, fields: str, *where: str) -> list[dict[str, Any]]:
    command = ("gh", what, "list", *where, "--json", fields)
    try:
        answer = capture(command, doing=f"list the {what}s at GitHub", cwd=project.REPOSITORY, base=callers())
    except StepError as error:
        if where and "HTTP 404" in str(error):
            raise StepError(
                f"GitHub has no environment {where[1]} that you may see: an administrator of the repository makes it "
                "(docs/pipelines.md)."
            ) from None
        raise
    listed: list[dict[str, Any]] = json.loads(answer)
    return listed
