"""The house rules of the code, held by tests: imports point one way, what does not compute stays light, nobody hides
the clock.
"""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "layers" / "segmentation" / "segmentation"
HEAVY = ("numpy", "pandas", "pyarrow")
LIGHT = (
    "get_segment",
    "list_segments",
    "delete_segment",
    "list_members",
    "list_customer_segments",
    "list_customer_history",
    "list_segment_history",
    "analyze_segment",
    "list_attributes",
    "create_import",
    "create_export",
    "start_run",
    "get_run",
    "list_runs",
    "create_model",
    "get_model",
    "list_models",
    "publish_model",
    "delete_model",
    "get_job",
    "get_kpis",
    "list_jobs",
    "get_health",
    "plan_run",
    "record_changes",
)
"""Functions that do not compute."""

LEVELS = {"errors": 0, "models": 1, "engine": 1, "store": 2}
"""Use cases are 3, runtime is 4; a module may import its own level and those below, with the exceptions that the test
names.
"""


def level(module: str) -> int:
    parts = module.split(".")
    first = parts[1] if len(parts) > 1 else ""
    return LEVELS.get(first, 4 if first == "runtime" else 3)


def imports(path: Path) -> set[str]:
    """Modules of our package and top-level packages that a file imports, wherever in the file."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return found


def modules() -> list[tuple[str, Path]]:
    return [
        ("segmentation." + ".".join(path.relative_to(PACKAGE).with_suffix("").parts), path)
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.name != "__init__.py"
    ]


@pytest.mark.parametrize(("module", "path"), modules(), ids=lambda value: value if isinstance(value, str) else "")
def test_imports_point_one_way(module: str, path: Path) -> None:
    for name in imports(path):
        if name.startswith("segmentation"):
            assert level(name) <= level(module), f"{module} imports {name}"
            if level(module) == 1 and module.split(".")[1] == "engine":
                assert name.split(".")[1:2] != ["models"], f"{module} imports {name}: the engine knows no models"


@pytest.mark.parametrize(("module", "path"), [m for m in modules() if m[0].startswith("segmentation.engine")])
def test_the_engine_is_arrays_in_arrays_out(module: str, path: Path) -> None:
    outside = (
        {name.split(".")[0] for name in imports(path)} - {"segmentation", "numpy", "re2"} - set(sys.stdlib_module_names)
    )
    assert not outside, f"{module} imports {outside}"
    text = path.read_text()
    for forbidden in ("datetime.now", "time.time", "os.environ", "default_rng()"):
        assert forbidden not in text, f"{module} uses {forbidden}"


@pytest.mark.parametrize(("module", "path"), [m for m in modules() if not m[0].endswith(("runtime", "import_limits"))])
def test_only_runtime_reads_the_environment_and_builds_clients(module: str, path: Path) -> None:
    found = imports(path)
    assert not any(name.split(".")[0] in ("os", "boto3") for name in found), f"{module}: {found}"


@pytest.mark.parametrize("name", LIGHT)
def test_a_function_that_does_not_compute_loads_no_arrays(name: str) -> None:
    code = (
        "import runpy, sys\n"
        f"runpy.run_path({str(ROOT / 'functions' / name / 'app.py')!r})\n"
        f"print([m for m in {HEAVY!r} if m in sys.modules])"
    )
    environment = {
        "PYTHONPATH": str(ROOT / "layers" / "segmentation"),
        "PATH": "/usr/bin",
        "AWS_DEFAULT_REGION": "eu-central-1",
    }
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_functions_declare_and_delegate() -> None:
    for path in sorted((ROOT / "functions").glob("*/app.py")):
        tree = ast.parse(path.read_text())
        assert len(path.read_text().splitlines()) <= 32, path
        forbidden = (ast.If, ast.Try, ast.For, ast.While)
        assert not any(isinstance(node, forbidden) for node in ast.walk(tree)), f"{path} decides something"
        assert ast.get_docstring(tree), path
