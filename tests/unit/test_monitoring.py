"""Alerts and board name only metrics that there are; the documentation has every alert."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.agent import measures, metrics
from infra.components.gateway_monitoring import JOB

ROOT = Path(__file__).parents[2]
MONITORING = ROOT / "infra" / "monitoring"
ALERTS: list[dict[str, Any]] = [
    rule for group in yaml.safe_load((MONITORING / "alerts.yaml").read_text())["groups"] for rule in group["rules"]
]
PANELS: list[dict[str, Any]] = json.loads((MONITORING / "board.json").read_text())["panels"]
EXPRESSIONS = [
    *(pytest.param(rule["expr"], id=rule["alert"]) for rule in ALERTS),
    *(
        pytest.param(target["expr"], id=f"{panel['title']} {target['refId']}")
        for panel in PANELS
        for target in panel["targets"]
    ),
]
SELECTED = re.compile(r"\b(meshgate_\w+|process_\w+|up)(\{[^}]*\})?")


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_an_expression_is_of_metrics_that_there_are(expression: str) -> None:
    known = {"up"}
    for metric in metrics.described():
        suffixes = ("_bucket", "_sum", "_count") if metric.type == "histogram" else ("",)
        known |= {f"{metric.name}{suffix}" for suffix in suffixes}
    selected = SELECTED.findall(expression)
    assert selected
    for name, labels in selected:
        assert name in known or name.startswith("process_")
        assert f'job="{JOB}"' in labels


def test_parts_and_outcomes_in_expressions_are_those_of_the_agent() -> None:
    text = " ".join(rule["expr"] for rule in ALERTS)
    assert set(re.findall(r'part="(\w+)"', text)) <= set(measures.PARTS)
    assert set(re.findall(r'seconds="(\w+)"', text)) <= {str(age) for age in metrics.HANDSHAKE_AGES_S}


def test_every_alert_says_how_bad_it_is_and_what_to_do() -> None:
    for rule in ALERTS:
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert set(rule["annotations"]) == {"summary", "description"}


def test_every_alert_is_documented_and_provoked() -> None:
    names = [rule["alert"] for rule in ALERTS]
    page = (ROOT / "docs" / "operations.md").read_text()
    assert re.findall(r"^\| (Meshgate\w+) \|", page, re.MULTILINE) == names
    tests = yaml.safe_load((ROOT / "tests" / "contract" / "agent" / "alerts.yaml").read_text())["tests"]
    cases = [case for test in tests for case in test["alert_rule_test"]]
    assert {case["alertname"] for case in cases if case["exp_alerts"]} == set(names)
    assert {case["alertname"] for case in cases if not case["exp_alerts"]} == set(names)


def test_panels_have_a_place_of_their_own() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in PANELS:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        assert all(x < 24 for x, _ in cells)
        taken |= cells
