"""Requirement files pin everything once, and carry nothing of the machine that compiled them."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMPILED = sorted([*(ROOT / "requirements").glob("*.txt"), *(ROOT / "layers" / "libraries").glob("*.txt")])
PINNED = re.compile(r"(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s#;]+)(\s+# via .*)?")


def pins(file: Path) -> dict[str, str]:
    """Version of every package that a compiled file names, by its normalised name."""
    found = {}
    for line in filter(None, file.read_text().splitlines()):
        if line.startswith("#"):
            continue
        match = PINNED.fullmatch(line)
        assert match, f"{file.name}: {line!r} is no pinned requirement"
        found[_normalised(match["name"])] = match["version"]
    return found


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("file", COMPILED, ids=lambda file: file.name)
def test_every_requirement_is_pinned_to_one_version(file: Path) -> None:
    assert len(pins(file)) >= 1


@pytest.mark.parametrize("file", COMPILED, ids=lambda file: file.name)
def test_no_address_or_path_of_a_machine_gets_in(file: Path) -> None:
    text = re.sub(r"# via .*", "", file.read_text())
    assert "://" not in text
    assert "/" not in text
    assert "--" not in text


@pytest.mark.parametrize("file", COMPILED, ids=lambda file: file.name)
def test_what_is_asked_for_is_what_is_pinned(file: Path) -> None:
    found = pins(file)
    for line in file.with_suffix(".in").read_text().splitlines():
        match = re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*", line)
        if match:
            name = _normalised(match.group())
            assert name in found
            exact = re.search(r"==([^\s#]+)", line)
            assert exact is None or found[name] == exact.group(1)


def test_a_package_has_the_same_version_everywhere() -> None:
    versions: dict[str, set[str]] = {}
    for file in COMPILED:
        for name, version in pins(file).items():
            versions.setdefault(name, set()).add(version)
    assert {name: found for name, found in versions.items() if len(found) > 1} == {}


def test_what_runs_on_lambda_is_what_the_tests_run_with() -> None:
    tested = pins(ROOT / "requirements" / "dev.txt")
    deployed = pins(ROOT / "layers" / "libraries" / "libraries.txt") | pins(ROOT / "layers" / "libraries" / "data.txt")
    assert deployed.items() <= tested.items()
