"""What a preview without changes does not wait for: imports that only a create, a refresh or a warning needs."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = (ROOT / "__main__.py").read_text().partition("\nsettings = ")[0]
PROVIDERS = "\n".join(f"import infra.resources.{file.stem}" for file in sorted((ROOT / "infra/resources").glob("*.py")))
SLOW = {"cryptography", "httpx", "kubernetes"}


@pytest.mark.parametrize(
    ("imports", "slow"),
    [(PROGRAM, SLOW), (PROVIDERS, SLOW | {"pulumi_kubernetes", "infra.settings.stack"})],
    ids=["the program", "the plugin process"],
)
def test_slow_imports_are_made_when_they_are_needed(imports: str, slow: set[str]) -> None:
    code = f"{imports}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not slow.intersection(done.stdout.split())
