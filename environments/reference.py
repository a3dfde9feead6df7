"""Writes docs/reference.md: settings as infra/settings types them, calls as in the agent's OpenAPI, its metrics."""

from collections.abc import Iterator, Sequence
from typing import Any, cast

from prometheus_client import CollectorRegistry

from gateway.agent import api, metrics
from gateway.agent.devices import Devices
from gateway.agent.settings import AgentSettings
from infra.settings.section import place_of, walk, within
from infra.settings.stack import StackSettings

Schema = dict[str, Any]

_HEAD = """\
# Reference

Made by `make reference` from [infra/settings](../infra/settings), the agent's OpenAPI and its metrics.

## Settings

In `Pulumi.<stack>.yaml` below `config:`, the top-level ones with `meshgate:` before their name. A value that cannot
work is refused in the preview, with a sentence that names the setting.
"""

_FASTAPIS_WORDS = {"Successful Response", "Validation Error"}

_API = """\
## The peer API

Inside the cluster at `GATEWAY_PEERS_URL`, with the header `Authorization: Bearer $GATEWAY_PEERS_TOKEN`; the paths
outside of `/v1` need none. Errors are problems (`application/problem+json`); [the gateway](gateway.md#the-peer-api) has
what each status says.
"""

_METRICS = """\
## Metrics

At `/metrics`, in Prometheus' text format, without a token: sums over all devices, and no secret. A histogram has
`_bucket`, `_sum` and `_count` after its name. The process itself is in `process_…`.
[Monitoring](operations.md#monitoring) has alerts and a board.
"""


def page() -> str:
    """The whole page."""
    parts = [_HEAD, *_settings(), _API, *_calls(_openapi()), _METRICS, _metrics()]
    return "\n".join(part.strip() + "\n" for part in parts)


def _settings() -> Iterator[str]:
    for place, section in walk(StackSettings):
        heading = f"### `{place}`\n\n{_sentence(section.__doc__)}" if place else "### At the top"
        schema = section.model_json_schema()
        rows = [
            (
                f"`{name}`",
                _type(one),
                _default(one, required=name in schema.get("required", [])),
                _see(place_of(section, name, place)) if within(section, name) else _sentence(one.get("description")),
            )
            for name, one in schema["properties"].items()
        ]
        yield f"{heading}\n\n{_table(('setting', 'type', 'default', ''), rows)}"


def _see(place: str) -> str:
    return f"see [`{place}`](#{''.join(letter for letter in place if letter.isalnum())})"


def _calls(openapi: Schema) -> Iterator[str]:
    for path, operations in openapi["paths"].items():
        for method, call in operations.items():
            yield f"### `{method.upper()} {path}`\n\n{_call(call, openapi)}"
    for name in ("PeerAnswer", "PeerPage"):
        schema = openapi["components"]["schemas"][name]
        rows = [(f"`{field}`", _type(one), one.get("description", "")) for field, one in schema["properties"].items()]
        yield f"### {name}\n\n{_sentence(schema['description'])}\n\n{_table(('field', 'type', ''), rows)}"


def _call(call: Schema, openapi: Schema) -> str:
    rows = [
        (f"`{one['name']}`", one["in"], _type(one["schema"]), _default(one["schema"], required=one["required"]), "")
        for one in call.get("parameters", [])
    ]
    if body := call.get("requestBody"):
        name = body["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
        schema = openapi["components"]["schemas"][name]
        rows += [
            (
                f"`{field}`",
                "body",
                _type(one),
                _default(one, required=field in schema["required"]),
                one.get("description", ""),
            )
            for field, one in schema["properties"].items()
        ]
    answers = ", ".join(_answer(status, one["description"]) for status, one in sorted(call["responses"].items()))
    parts = [_sentence(call["description"])]
    if rows:
        parts.append(_table(("parameter", "in", "type", "default", ""), rows))
    return "\n\n".join([*parts, f"Answers: {answers}."])


def _answer(status: str, description: str) -> str:
    return status if description in _FASTAPIS_WORDS else f"{status} ({description.rstrip('.')})"


def _metrics() -> str:
    rows = [
        (f"`{one.name}`", one.type, ", ".join(f"`{label}`" for label in one.labels), _sentence(one.text))
        for one in metrics.described()
    ]
    return _table(("metric", "type", "labels", ""), rows)


def _openapi() -> Schema:
    """As the agent serves it. Only its routes count here, none is called."""
    app = api.create_app(AgentSettings.model_construct(), "", cast("Devices", None), _no_problems, CollectorRegistry())
    openapi: Schema = app.openapi()
    return openapi


async def _no_problems() -> list[str]:
    return []


def _type(schema: Schema) -> str:
    """In words: `text`, `number 576-1420`, `list of network`, one of these."""
    if options := schema.get("anyOf"):
        kinds = dict.fromkeys(_type(option) for option in options if option.get("type") != "null")
        return " or ".join(kinds)
    if "$ref" in schema:
        return "section"
    if values := schema.get("enum"):
        return ", ".join(f"`{value}`" for value in values)
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}"
    return f"{_KINDS.get(schema.get('format', ''), _KINDS[schema.get('type', '')])}{_bounds(schema)}"


_KINDS = {
    "string": "text",
    "integer": "number",
    "boolean": "true or false",
    "object": "names and values",
    "password": "secret",
    "ipv4network": "network",
    "ipv6network": "network",
    "ipv4": "address",
    "ipv6": "address",
    "date-time": "time",
}


def _bounds(schema: Schema) -> str:
    if "maximum" in schema:
        return f" {int(schema['minimum'])}-{int(schema['maximum'])}"
    return f" `{pattern}`".replace("|", "\\|") if (pattern := schema.get("pattern")) else ""


def _default(schema: Schema, *, required: bool) -> str:
    if required:
        return "**required**"
    default = schema.get("default")
    if default in (None, [], {}) or isinstance(default, dict):
        return ""
    return ", ".join(f"`{value}`" for value in (default if isinstance(default, list) else [default]))


def _sentence(text: str | None) -> str:
    return " ".join((text or "").split()).replace("<", "&lt;")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(cells)} |" for cells in (head, *rows)]
    return "\n".join([lines[0], "|-" * len(head) + "|", *lines[1:]])
