"""Directories of drop-ins as systemd reads them: by file name over all directories, a name once, the last word wins."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path("/")
SYSCTL_PLACES = tuple(f"{place}/sysctl.d" for place in ("etc", "run", "usr/local/lib", "usr/lib", "lib"))
UNIT_PLACES = (
    *("etc/systemd/system.control", "run/systemd/system.control", "run/systemd/transient"),
    *("run/systemd/generator.early", "etc/systemd/system", "etc/systemd/system.attached", "run/systemd/system"),
    *("run/systemd/system.attached", "run/systemd/generator", "usr/local/lib/systemd/system"),
    *("usr/lib/systemd/system", "lib/systemd/system", "run/systemd/generator.late"),
)
"""A file in an earlier one stands for those of its name in later ones (man sysctl.d, man systemd.unit)."""

LISTS = {
    *("LoadCredential", "Environment", "EnvironmentFile", "ExecStart", "DeviceAllow", "BindReadOnlyPaths"),
    *("AmbientCapabilities", "CapabilityBoundingSet", "StateDirectory", "RuntimeDirectory"),
}
"""What our units say as lists, which an empty line takes back."""
WITH_CREDENTIALS = {"meshgate-agent.service", "meshgate-keys.service", "meshgate-tailscale.service"}
"""The units that say LoadCredential."""
SINGLE = {"User", "DynamicUser", "RootDirectory"}
"""What no unit of ours can have otherwise than it says."""
SWITCHED_ON = {"PrivateNetwork", "PrivateUsers"}
"""What no unit of ours can have at all. A container's drop-in that switches it off is harmless."""
OFF = {"", "no", "false", "off", "0"}


def files(directories: Iterable[Path]) -> list[Path]:
    """The files that count, in the order in which they are read."""
    chosen: dict[str, Path] = {}
    for directory in directories:
        for file in sorted(directory.glob("*.conf")):
            chosen.setdefault(file.name, file)
    return [chosen[name] for name in sorted(chosen)]


def taken_back(unit: str) -> dict[str, str]:
    """The directives of a unit of ours that drop-ins take back, each with the file. The unit need not be there."""
    stem, _, kind = unit.rpartition(".")
    parts = stem.split("-")
    prefixes = ["-".join(parts[:end]) + "-" for end in range(len(parts) - 1, 0, -1)]
    own = [f"{unit}.d", *(f"{prefix}.{kind}.d" for prefix in prefixes)]
    of_the_kind = (ROOT / place / f"{kind}.d" for place in UNIT_PLACES)
    found: dict[str, str] = {}
    for file in files([*(ROOT / place / name for place in UNIT_PLACES for name in own), *of_the_kind]):
        for directive, value in _directives(file):
            if directive == "LoadCredential" and unit not in WITH_CREDENTIALS:
                continue
            shut = directive in SINGLE or (directive in SWITCHED_ON and value.lower() not in OFF)
            if shut or (directive in LISTS and not value):
                found[directive] = str(file)
            elif directive in LISTS:  # somebody has put it back
                found.pop(directive, None)
    return found


def _directives(file: Path) -> Iterator[tuple[str, str]]:
    section = ""
    for line in _lines(file):
        if line.startswith("["):
            section = line
        elif section == "[Service]" and "=" in line:
            directive, _, value = line.partition("=")
            yield directive.strip(), value.strip()


def later_assignments(ours: str, switches: Iterable[str]) -> dict[str, dict[str, str]]:
    """What the next boot sets switches of the kernel to after our drop-in of sysctl.d has: the file and the value.

    Names are written with slashes. A pattern counts for the switches that no file names.
    """
    read = files(ROOT / place for place in SYSCTL_PLACES)
    assignments = [(file, *assignment) for file in read for assignment in _assignments(file)]
    named = {name for _, name, _ in assignments}
    found = {}
    for switch in switches:
        for file, name, value in assignments:
            matches = name == switch or (switch not in named and fnmatch(switch, name))
            if matches and value is not None and file.name > ours:
                found[switch] = {"file": str(file.resolve()), "value": value}
    return found


def _assignments(file: Path) -> Iterator[tuple[str, str | None]]:
    """Names and values; a name without a value is one that patterns leave out."""
    for line in _lines(file):
        name, equals, value = line.lstrip("-").partition("=")
        yield _with_slashes(name.strip()), value.strip() if equals else None


def _with_slashes(name: str) -> str:
    """What comes first says which of both parts a name (man sysctl.d)."""
    first = next((letter for letter in name if letter in "./"), "")
    return name.translate({ord("."): "/", ord("/"): "."}) if first == "." else name


def _lines(file: Path) -> list[str]:
    try:
        text = file.read_text(errors="replace")
    except OSError:
        return []
    return [line for line in map(str.strip, text.replace("\\\n", " ").splitlines()) if line and line[0] not in "#;"]
