"""Writes docs/reference.md: every setting as infra/settings types it, every call as the agent's OpenAPI has it.

And the networks that are closed, as the agent's firewall has them.
"""

from collections.abc import Iterator, Sequence
from typing import Any, cast

from prometheus_client import CollectorRegistry

from environments.descriptions import descriptions
from gateway.agent import api, metrics, probes, problems
from gateway.agent.closed_networks import CLOSED
from gateway.agent.devices import Devices
from gateway.agent.settings import AgentSettings
from infra.settings.section import walk, within
from infra.settings.stack import StackSettings

Schema = dict[str, Any]

_HEAD = """\
# Reference

Made by `make reference` from [infra/settings](../infra/settings), the agent's OpenAPI and its metrics.

## Settings

In `Pulumi.<stack>.yaml` below `config:`, the top-level ones with `meshgate:` before their name. A value that cannot
work is refused in the preview, with a sentence that names the setting.
"""

_CLOSED = """\
## Closed networks

Nobody reaches these through a gateway, unless `allow_networks` opens one. The mesh's addresses are reached by the mesh
alone. Made from [closed_networks.py](../gateway/agent/closed_networks.py).
[The gateway](gateway.md#where-packets-go) has what else is closed.
"""

_COMMON_WORDS = {"Successful Response", *problems.EVERY_CALLS.values()}

_API = """\
## The peer API

Inside the cluster at `GATEWAY_PEERS_URL`, with the header `Authorization: Bearer $GATEWAY_PEERS_TOKEN`, which
`/openapi.json` needs too. Errors are problems (`application/problem+json`); [the gateway](gateway.md#the-peer-api) has
what each status says.
"""

_PROBES = """\
## The probes

On a port of their own, 8081, without a token: what a kubelet and Prometheus ask.
"""

_METRICS = """\
## Metrics

At `/metrics` of the probes, in Prometheus' text format: sums over all devices, and no secret. A histogram has
`_bucket`, `_sum` and `_count` after its name. The process itself is in `process_…`.
[Monitoring](operations.md#monitoring) has alerts and a board.
"""


def page() -> str:
    """The whole page."""
    openapi = _openapi()
    models = ("WireGuardAnswer", "WireGuardConfigAnswer", "CertifiedAnswer", "CertificateAnswer", "PeerPage", "Problem")
    calls = [_API, *_calls(openapi), *_models(openapi, models), _PROBES, *_calls(_probes()), _METRICS, _metrics()]
    parts = [_HEAD, *_settings(), _CLOSED, _closed_networks(), *calls]
    return "\n".join(part.strip() + "\n" for part in parts)


def _settings() -> Iterator[str]:
    places = {section: place for place, section in walk(StackSettings)}
    for section, place in places.items():
        heading = f"### `{place}`\n\n{_sentence(section.__doc__)}" if place else "### At the top"
        schema, described = section.model_json_schema(), descriptions(section)
        rows = [
            (
                f"`{name}`",
                _type(one),
                _default(one, required=name in schema.get("required", [])),
                _see(places[inner]) if (inner := within(section, name)) else _sentence(described.get(name)),
            )
            for name, one in schema["properties"].items()
        ]
        yield f"{heading}\n\n{_table(('setting', 'type', 'default', ''), rows)}"


def _closed_networks() -> str:
    rows = [(", ".join(f"`{network}`" for network in one.networks), one.why, one.source) for one in CLOSED]
    return _table(("networks", "what they are", "source"), rows)


def _see(place: str) -> str:
    return f"see [`{place}`](#{''.join(letter for letter in place if letter.isalnum() or letter == '_')})"


def _calls(openapi: Schema) -> Iterator[str]:
    for path, operations in openapi["paths"].items():
        for method, call in operations.items():
            yield f"### `{method.upper()} {path}`\n\n{_call(call, openapi)}"


def _models(openapi: Schema, names: Sequence[str]) -> Iterator[str]:
    for name in names:
        schema = openapi["components"]["schemas"][name]
        rows = [(f"`{field}`", _type(one), one.get("description", "")) for field, one in schema["properties"].items()]
        yield f"### {name}\n\n{_sentence(schema['description'])}\n\n{_table(('field', 'type', ''), rows)}"


def _call(call: Schema, openapi: Schema) -> str:
    rows: list[tuple[str, ...]] = [
        (f"`{one['name']}`", one["in"], _type(one["schema"]), _default(one["schema"], required=one["required"]), "")
        for one in call.get("parameters", [])
    ]
    if body := call.get("requestBody"):
        rows += _body(body["content"]["application/json"]["schema"], openapi)
    answers = ", ".join(_answer(status, one["description"]) for status, one in sorted(call["responses"].items()))
    parts = [_sentence(call["description"])]
    if rows:
        parts.append(_table(("parameter", "in", "type", "default", ""), rows))
    return "\n\n".join([*parts, f"Answers: {answers}."])


def _body(schema: Schema, openapi: Schema) -> list[tuple[str, ...]]:
    """The fields of a body, or of each kind of it; those of one kind alone are told as that kind's."""
    options = schema.get("oneOf") or schema.get("anyOf") or [schema]
    names = [option["$ref"].rpartition("/")[2] for option in options]
    kinds = {name.removesuffix("Body"): openapi["components"]["schemas"][name] for name in names}
    shared = set.intersection(*(set(kind["properties"]) for kind in kinds.values()))
    fields = {
        (field, "body" if field in shared else f"body ({name})"): (one, field in kind.get("required", ()))
        for name, kind in kinds.items()
        for field, one in kind["properties"].items()
    }
    return [
        (f"`{field}`", place, _type(one), _default(one, required=required), one.get("description", ""))
        for (field, place), (one, required) in fields.items()
    ]


def _answer(status: str, description: str) -> str:
    return status if description in _COMMON_WORDS else f"{status} ({description.rstrip('.')})"


def _metrics() -> str:
    rows = [
        (f"`{one.name}`", one.type, ", ".join(f"`{label}`" for label in one.labels), _sentence(one.text))
        for one in metrics.described()
    ]
    return _table(("metric", "type", "labels", ""), rows)


def _openapi() -> Schema:
    """As the agent serves it. Only its routes count here, none is called."""
    app = api.create_app(AgentSettings.model_construct, lambda _: None, cast("Devices", None))
    openapi: Schema = app.openapi()
    return openapi


def _probes() -> Schema:
    openapi: Schema = probes.create_probes(_no_problems, CollectorRegistry()).openapi()
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
    if values := schema.get("enum", [schema["const"]] if "const" in schema else []):
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
