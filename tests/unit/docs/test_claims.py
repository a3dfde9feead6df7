"""What is said in several places is one claim."""

import re

from infra.settings.headscale import HeadscaleSettings
from tests.unit.docs.commands import ROOT

NAMES = [*ROOT.glob("docs/*.md"), *ROOT.glob("*.md"), *ROOT.glob("infra/**/*.py"), *ROOT.glob("playbooks/**/*.py")]


def test_the_versions_of_headscale_are_said_alike_everywhere() -> None:
    """Up to the one that the stack declares, which tests/contract/test_headscale.py runs as it does the other end."""
    newest = HeadscaleSettings.model_fields["image"].default.rpartition(":")[2]
    claims = {claim for file in NAMES for claim in re.findall(r"\b0\.2\d[\d.]* to 0\.\d+(?:\.\d+)?", file.read_text())}
    assert claims == {f"0.23.0 to {newest}"}
