"""What envs/ promises: pins, all packages that come with them, and the rules that use them."""

import re
from functools import cache
from importlib.metadata import PackageNotFoundError, requires

import yaml
from packaging.requirements import Requirement

from helpers import ROOT

# vllm.yaml pins another torch than the lock does, and no rule names it: a site chooses it.
ENVIRONMENTS = sorted(path.stem for path in (ROOT / "envs").glob("*.yaml") if path.stem != "vllm")


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _pins(lines: list[str]) -> dict[str, str]:
    pairs = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {canonical(name): pin for name, pin in pairs}


LOCK = _pins((ROOT / "requirements.lock").read_text().splitlines())


def pins_of(environment: str) -> dict[str, str]:
    """Return the versions that an environment pins, by package."""
    content = yaml.safe_load((ROOT / "envs" / f"{environment}.yaml").read_text())
    return _pins(content["dependencies"][-1]["pip"])


@cache
def packages_of(environment: str) -> frozenset[str]:
    """Return every package that an environment holds: its pins and what they require."""
    found: set[str] = set()
    waiting = list(pins_of(environment))
    if (ROOT / "envs" / f"{environment}.post-deploy.sh").exists():
        waiting.append("summac")
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += _required(name)
    return frozenset(found)


def _required(name: str) -> list[str]:
    if name == "summac":  # it is installed without what it requires
        return []
    try:
        needed = [Requirement(text) for text in requires(name) or ()]
    except PackageNotFoundError:
        return []
    return [
        canonical(one.name)
        for one in needed
        if one.marker is None or one.marker.evaluate({"extra": ""})
    ]


def rule_environments() -> dict[str, tuple[str, str]]:
    """Return the script and the environment of each rule that has a script."""
    found: dict[str, dict[str, str]] = {}
    for path in sorted((ROOT / "rules").glob("*.smk")):
        rule: dict[str, str] = {}
        directive = ""
        for line in path.read_text().splitlines():
            if match := re.match(r"(?:use )?rule (\w+)(?: as (\w+) with)?:", line):
                parent, child = match.groups()
                rule = found.setdefault(child or parent, dict(found[parent]) if child else {})
            elif match := re.match(r"    (\w+):$", line):
                directive = match.group(1)
            elif directive in ("script", "conda") and (match := re.match(r'\s+"(.+)"', line)):
                rule[directive] = match.group(1).split("/")[-1].removesuffix(".yaml")
            elif directive == "conda" and line.strip() == "GENERATION_ENVIRONMENT":
                rule["conda"] = "train"  # as long as generation.backend is not vllm
    return {
        name: (rule["script"], rule["conda"]) for name, rule in found.items() if "script" in rule
    }
