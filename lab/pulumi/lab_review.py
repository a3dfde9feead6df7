"""The review of the lab's own stack, with what the lab keeps for it, beside reviews of the user's environments."""

from dataclasses import replace

from console import environment, project, pulumi_cli
from console.errors import StepError
from lab.processes import lock
from lab.pulumi import pulumi_host
from lab.pulumi.stack import Stack
from review import preview
from review.preview import Options
from review.report import Report


def review(stack_name: str, options: Options) -> Report:
    """What `pulumi up` would do to an environment; of all of them only the lab is the lab's."""
    programs = pulumi_host.find()
    if stack_name != project.LAB:
        variables = environment.callers() | pulumi_cli.environment(programs)
        return preview.preview(stack_name, programs, variables, options)
    stack = Stack(programs)
    if not stack.state_file.exists():
        raise StepError("The lab has no stack yet; `make up` makes it.")
    with lock.hold():
        of_the_lab = replace(options, config_file=stack.config_file)
        return preview.preview(stack_name, programs, environment.clean() | stack.environment(), of_the_lab)
