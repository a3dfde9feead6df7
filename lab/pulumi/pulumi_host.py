"""One directory with everything a Python program's `pulumi up` executes; it goes first on PATH."""

import os
import shutil
from contextlib import suppress
from pathlib import Path

from console import environment, pulumi_cli
from console.errors import StepError
from console.run import capture
from lab import paths
from lab.tools import cache, go_builds, go_toolchain, pinned_tools

_SDK = "github.com/pulumi/pulumi/sdk/v3"
_SCRIPTS = (
    "python/cmd/pulumi-language-python-exec",
    "python/dist/pulumi-resource-pulumi-python",
)
"""Parts of the language host that are plain scripts inside the SDK's Go module, at Pulumi's own version."""


def find() -> Path:
    """Return the directory: the user's own Pulumi with its Python host, else one of the cache.

    Raises StepError when Pulumi has to be built and cannot be.
    """
    with suppress(StepError):
        return pulumi_cli.find()
    binaries = (go_builds.build(pinned_tools.PULUMI), go_builds.build(pinned_tools.PULUMI_LANGUAGE_PYTHON))
    # Of a binary its cache directory's name is enough: that is the hash of what it was made from.
    key = cache.fingerprint(*(binary.parent.name for binary in binaries), *_SCRIPTS)
    return cache.keep(paths.cache() / "pulumi" / key, lambda directory: _assemble(binaries, directory))


def _assemble(binaries: tuple[Path, ...], directory: Path) -> None:
    """Put binaries and scripts side by side; links, not symlinks, as Pulumi looks beside its real path."""
    directory.mkdir()
    for binary in binaries:
        os.link(binary, directory / binary.name)
    module = capture(
        (go_toolchain.find().command, "list", "-m", "-f", "{{.Dir}}", _SDK),
        doing="find Pulumi's SDK among the Go modules",
        cwd=paths.GO_MODULES / pinned_tools.PULUMI.module,
        base=environment.downloading(),
        env=go_builds.compiler_environment(pinned_tools.PULUMI),
    )
    for script in _SCRIPTS:
        target = directory / Path(script).name
        shutil.copyfile(Path(module.strip()) / script, target)
        target.chmod(0o755)
