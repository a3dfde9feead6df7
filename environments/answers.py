"""A user's answers: settings as plain values, some of them or all. The rules for them are in infra/settings."""

import copy
import ipaddress
import itertools
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from console.errors import StepError
from infra.settings.cluster import ClusterSettings
from infra.settings.loading import SettingsError, load
from infra.settings.stack import StackSettings
from infra.settings.value_types import IPNetwork

Values = dict[str, Any]
Place = Sequence[str | int]

STDIN = Path("-")
_MISSING = "it is missing and has no default."


class AnswerError(StepError):
    """An answer that cannot work; each line of the text is a sentence for the user."""


def read(file: Path) -> Values:
    """The answers of a YAML file, or of standard input when it is `-`: settings by their names."""
    values = parsed(file)
    if not isinstance(values, dict):
        raise AnswerError(f"{_called(file)} holds no settings; docs/environments.md shows what it has to look like.")
    return {str(name): value for name, value in values.items()}


def text(file: Path) -> str:
    """What a user's text file holds, or standard input when it is `-`."""
    try:
        return sys.stdin.read() if file == STDIN else file.expanduser().read_text()
    except (OSError, ValueError, RuntimeError) as error:  # of a path, of UTF-8, of a ~user
        why = getattr(error, "strerror", None) or ("it is no text" if isinstance(error, UnicodeDecodeError) else error)
        raise AnswerError(f"{_called(file)} cannot be read: {why}.") from error


def parsed(file: Path) -> object:
    """What a user's YAML file says."""
    content = text(file)
    try:
        value: object = yaml.safe_load(content)
        json.dumps(value, default=str)  # else it holds itself, which no setting can
    except (yaml.YAMLError, ValueError, RecursionError, TypeError) as error:
        # Not the parser's own text, which repeats the line: it may hold the API key.
        mark = getattr(error, "problem_mark", None)
        raise AnswerError(f"{_called(file)} is not YAML{f' (line {mark.line + 1})' if mark else ''}.") from None
    return value


def _called(file: Path) -> str:
    return "standard input" if file == STDIN else str(file)


def whole(values: Values) -> StackSettings:
    """The settings that complete answers make. Raises AnswerError with every sentence there is."""
    try:
        settings = load(values.get, map(str, values))
    except SettingsError as error:
        raise AnswerError(str(error)) from None
    for index, gateway in enumerate(settings.gateways):
        if gateway.private_key:
            setting = f"gateways[{index}].private_key"
            raise AnswerError(
                f"meshgate:{setting}: leave it out here. Before the first `pulumi up` of the environment, give it by "
                f"`pulumi config set --secret --path '{setting}'`."
            )
    return settings


def refuse_given(values: Values) -> None:
    """Hold the answers so far against the settings' rules. A setting that is not answered yet is no fault."""
    # A gateway that is not answered yet: rules between sections wait until all of them are there.
    answered = values if values.get("gateways") else values | {"gateways": [{}]}
    try:
        load(answered.get, answered)
    except SettingsError as error:
        if given := [line for line in str(error).splitlines() if not line.endswith(_MISSING)]:
            raise AnswerError("\n".join(given)) from None


def with_value(values: Values, path: Place, value: object) -> Values:
    """A copy with the value at a path such as ("gateways", 0, "name"); None takes it out."""
    changed = copy.deepcopy(values)
    within: Any = changed
    for key, following in itertools.pairwise(path):
        within = (
            within.setdefault(key, [] if isinstance(following, int) else {}) if isinstance(key, str) else within[key]
        )
    if value is None:
        within.pop(path[-1], None)
    elif isinstance(within, list) and path[-1] == len(within):
        within.append(value)
    else:
        within[path[-1]] = value
    return changed


def with_networks(values: Values, found: Mapping[str, Sequence[str]]) -> Values:
    """The answers with the networks that the cluster uses itself, where the defaults do not cover them.

    Raises AnswerError when the answers name other networks than those.
    """
    for name, networks in found.items():
        given = values.get("cluster", {}).get(name)
        known = given if given is not None else ClusterSettings.model_fields[name].default
        if all(_covered(network, known) for network in networks):
            continue
        if given is not None:
            raise AnswerError(
                f"meshgate:cluster.{name}: the cluster itself uses {', '.join(networks)}, which is not in "
                f"{', '.join(map(str, given))}; name it here, or leave {name} out to have it found."
            )
        values = with_value(values, ("cluster", name), list(networks))
    return values


def _covered(network: str, known: Sequence[object]) -> bool:
    return any(_within(ipaddress.ip_network(network), ipaddress.ip_network(str(other))) for other in known)


def _within(one: IPNetwork, other: IPNetwork) -> bool:
    return one.version == other.version and one.overlaps(other) and one.prefixlen >= other.prefixlen
