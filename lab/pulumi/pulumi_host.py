"""One directory with everything a Python program's `pulumi up` executes; it goes first on PATH."""

import os
import shutil
from pathlib import Path

from console import environment
from console.run import capture
from lab import paths
from lab.tools import cache, go_builds, go_toolchain

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
    if own := _own():
        return own
    binaries = (go_builds.build(go_builds.PULUMI), go_builds.build(go_builds.PULUMI_LANGUAGE_PYTHON))
    # Of a binary its cache directory's name is enough: that is the hash of what it was made from.
    key = cache.fingerprint(*(binary.parent.name for binary in binaries), *_SCRIPTS)
    return cache.keep(paths.cache() / "pulumi" / key, lambda directory: _assemble(binaries, directory))


def _own() -> Path | None:
    """Return where the user's own Pulumi lies with all that comes with it, also behind a link to it."""
    if (pulumi := go_builds.find_own(go_builds.PULUMI)) is None:
        return None
    programs = (go_builds.PULUMI_LANGUAGE_PYTHON.name, *(Path(script).name for script in _SCRIPTS))
    for directory in (pulumi.parent, pulumi.resolve().parent):
        if all((directory / program).exists() for program in programs):
            return directory
    return None


def _assemble(binaries: tuple[Path, ...], directory: Path) -> None:
    """Put binaries and scripts side by side; links, not symlinks, as Pulumi looks beside its real path."""
    directory.mkdir()
    for binary in binaries:
        os.link(binary, directory / binary.name)
    module = capture(
        (go_toolchain.find().command, "list", "-m", "-f", "{{.Dir}}", _SDK),
        doing="find Pulumi's SDK among the Go modules",
        cwd=paths.GO_MODULES / go_builds.PULUMI.module,
        base=environment.downloading(),
        env=go_builds.ENVIRONMENT,
    )
    for script in _SCRIPTS:
        target = directory / Path(script).name
        shutil.copyfile(Path(module.strip()) / script, target)
        target.chmod(0o755)
