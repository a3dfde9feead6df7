"""What is said in several places is one claim."""

import re

import gateway.headscale
from infra.settings.headscale import HeadscaleSettings
from lab.tools.pinned_tools import HEADSCALES
from tests.unit.docs.commands import ROOT
from tests.unit.headscale.answers import RECORDED

NAMES = [*ROOT.glob("docs/*.md"), *ROOT.glob("*.md"), *ROOT.glob("infra/**/*.py"), *ROOT.glob("playbooks/**/*.py")]


def test_the_versions_of_headscale_are_said_alike_everywhere() -> None:
    """Up to the one that the stack declares, which tests/contract/test_headscale.py runs as it does the other end."""
    newest = HeadscaleSettings.model_fields["image"].default.rpartition(":")[2]
    claims = {claim for file in NAMES for claim in re.findall(r"\b0\.2\d[\d.]* to 0\.\d+(?:\.\d+)?", file.read_text())}
    assert claims == {f"0.23.0 to {newest}"}


def test_the_proved_versions_of_headscale_are_those_that_the_lab_builds() -> None:
    """Each is run by tests/contract or by tests/prove/test_headscale_versions.py, and has its recorded answers."""
    versions = [tool.version for tool in HEADSCALES]
    assert f"Proved are {', '.join(versions[:-1])} and {versions[-1]}." in (ROOT / "docs" / "start.md").read_text()
    proved = re.findall(r"\d+\.\d+\.\d+", (gateway.headscale.__doc__ or "").partition("Proved on real servers")[2])
    assert sorted(proved) == versions
    assert sorted(file.stem for file in RECORDED.iterdir()) == versions
