"""A stand-in for GitHub's command line: it answers `gh api` from a file, keeps to it, and records each change.

Knows comments and issues, as much of them as is asked for. Run as `gh` with GH_STAND_IN naming the file.
"""

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

FILE = Path(os.environ["GH_STAND_IN"])
PAGE = 2
"""Items a page: so few that paging shows."""


def main(arguments: list[str]) -> None:
    if arguments == ["--version"]:
        sys.stdout.write("gh, a stand-in of Meshgate's tests\n")
        return
    assert arguments.pop(0) == "api"
    world: dict[str, Any] = json.loads(FILE.read_text())
    if os.environ.get("GH_TOKEN") != world["token"]:
        sys.exit("gh: Bad credentials (HTTP 401)")
    if arguments[:2] == ["--paginate", "--slurp"]:
        (path,) = arguments[2:]
        items = read(world, path)
        sys.stdout.write(json.dumps([items[start : start + PAGE] for start in range(0, len(items), PAGE)] or [[]]))
        return
    method, path, fields = arguments[1], arguments[2], json.load(sys.stdin)
    assert arguments == ["--method", method, path, "--input", "-"]
    world["calls"].append([method, path])
    write(world, method, path, fields)
    FILE.write_text(json.dumps(world))


def read(world: dict[str, Any], path: str) -> list[dict[str, Any]]:
    if found := re.fullmatch(r"repos/acme/mesh/issues/(\d+)/comments\?per_page=100", path):
        return [one for one in world["comments"] if one["issue"] == int(found[1])]
    assert path == "repos/acme/mesh/issues?state=open&per_page=100", path
    return [one for one in world["issues"] if one["state"] == "open"]


def write(world: dict[str, Any], method: str, path: str, fields: dict[str, Any]) -> None:
    us = {"user": {"login": "github-actions[bot]", "type": "Bot"}}
    if found := re.fullmatch(r"repos/acme/mesh/issues/(\d+)/comments", path):
        assert method == "POST"
        world["comments"].append({"id": 1000 + len(world["comments"]), "issue": int(found[1])} | us | fields)
    elif found := re.fullmatch(r"repos/acme/mesh/issues/comments/(\d+)", path):
        assert method == "PATCH"
        (one,) = (one for one in world["comments"] if one["id"] == int(found[1]))
        one |= fields
    elif found := re.fullmatch(r"repos/acme/mesh/issues/(\d+)", path):
        assert method == "PATCH"
        (one,) = (one for one in world["issues"] if one["number"] == int(found[1]))
        one |= fields
    else:
        assert (method, path) == ("POST", "repos/acme/mesh/issues"), path
        world["issues"].append({"number": 100 + len(world["issues"]), "state": "open"} | us | fields)


if __name__ == "__main__":
    main(sys.argv[1:])
