"""Build the layers for both architectures, weigh them, and import them in a process that sees nothing else.

The local stack cannot tell whether a layer is complete: its functions also see the environment that it runs in.
"""

import os
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Mapping
from pathlib import Path

from samcli.yamlhelper import yaml_parse

from dev.deploy import ARCHITECTURE
from dev.local import REPOSITORY

LIMIT = 215_000_000
"""Bytes that a function and its layers may have unzipped; Lambda refuses 262,144,000."""

LAYERS = {"SegmentationLayer": "segmentation", "LibrariesLayer": "libraries", "DataLayer": "libraries"}
"""Logical ids and the folders below `layers` whose Makefiles build them."""

RUNTIME = ("boto3", "botocore", "dateutil", "jmespath", "s3transfer", "six.py", "urllib3")
"""Packages of the Lambda runtime."""

LOAD = """
import importlib.util, sys
for file in sys.argv[1:]:
    spec = importlib.util.spec_from_file_location("app", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert callable(module.handler), file
"""

EXERCISE = """
import io, re2, numpy, pydantic
import aws_lambda_powertools.event_handler, aws_lambda_powertools.metrics
import pyarrow, pyarrow.compute, pyarrow.csv, pyarrow.json, pyarrow.parquet
table = pyarrow.table({"name": pyarrow.array(["a", "b", "a"]).dictionary_encode(), "value": [1.5, None, 2.5]})
file = io.BytesIO()
pyarrow.parquet.write_table(table, file, compression="zstd")
read = pyarrow.parquet.ParquetFile(io.BytesIO(file.getvalue())).read()
assert read.equals(table), read
assert pyarrow.csv.read_csv(io.BytesIO(b"a,b\\n1,2\\n")).num_rows == 1
assert pyarrow.json.read_json(io.BytesIO(b'{"a": 1}\\n')).num_rows == 1
assert pyarrow.compute.utf8_normalize(pyarrow.scalar("e\\u0301"), form="NFC").as_py() == "\\u00e9"
assert table.group_by("name").aggregate([("value", "sum")]).num_rows == 2
assert re2.compile("(a+)+b").search("aaac") is None
assert int(numpy.bincount(numpy.array([0, 1, 1])).max()) == 2
"""


def build(target: Path, architecture: str) -> dict[str, Path]:
    """Build all layers below `target` as `sam build` does; the folder of each by its name."""
    built = {}
    for layer, source in LAYERS.items():
        folder = target / architecture / layer
        folder.mkdir(parents=True)
        # The Makefiles name python3.13: that of this environment.
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        subprocess.run(
            ["make", "--silent", "-C", REPOSITORY / "layers" / source, f"build-{layer}"],
            env=os.environ | {"ARTIFACTS_DIR": str(folder), "ARCHITECTURE": architecture, "PATH": path},
            check=True,
        )
        built[layer] = folder
    return built


def weigh(folder: Path) -> int:
    """Bytes of all files, each counted as often as it would be unzipped."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def largest_function() -> int:
    """Bytes of the largest function's own code."""
    return max(weigh(folder) for folder in (REPOSITORY / "functions").iterdir() if folder.is_dir())


def exercise(layers: dict[str, Path]) -> None:
    """Use the libraries, and load every function with the layers that the template gives it, in a bare Python."""
    light: list[str] = []
    computing: list[str] = []
    for resource in yaml_parse((REPOSITORY / "template.yaml").read_text())["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            properties = resource["Properties"]
            group = computing if {"Ref": "DataLayer"} in properties.get("Layers", []) else light
            group.append(str(REPOSITORY / properties["CodeUri"] / "app.py"))
    _bare([layers["SegmentationLayer"], layers["LibrariesLayer"]], LOAD, light)
    _bare([*layers.values()], LOAD, computing)
    _bare([*layers.values()], EXERCISE, [])


def _bare(layers: list[Path], code: str, arguments: list[str]) -> None:
    """Run code in a Python that sees these layers, what the Lambda runtime brings, and nothing else."""
    python = Path(sysconfig.get_config_var("installed_base")) / "bin" / "python3.13"
    with tempfile.TemporaryDirectory() as runtime:
        for name in RUNTIME:
            (Path(runtime) / name).symlink_to(Path(sysconfig.get_path("purelib"), name))
        path = os.pathsep.join([*(str(folder / "python") for folder in layers), runtime])
        environment = {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
        subprocess.run([python, "-S", "-c", code, *arguments], env=environment, check=True)


def excess(sizes: Mapping[str, int]) -> str | None:
    """What is wrong with these sizes in bytes: a sentence, or None."""
    total = sum(sizes.values())
    return None if total <= LIMIT else f"{total / 1e6:.1f} MB are more than the {LIMIT / 1e6:.1f} MB allowed."


def main() -> int:
    reports = []
    with tempfile.TemporaryDirectory() as folder:
        for architecture in ("arm64", "x86_64"):
            layers = build(Path(folder), architecture)
            sizes = {name: weigh(path) for name, path in layers.items()} | {"largest function": largest_function()}
            total = sum(sizes.values())
            reports.append(excess(sizes))
            parts = ", ".join(f"{name} {size / 1e6:.1f}" for name, size in sizes.items())
            print(f"{architecture}: {total / 1e6:.1f} MB of {LIMIT / 1e6:.0f} ({parts})")
            if architecture == ARCHITECTURE:
                exercise(layers)
                print(f"{architecture}: every function loads with its layers alone")
    print("\n".join(report for report in reports if report), file=sys.stderr, end="")
    return int(any(reports))


if __name__ == "__main__":
    sys.exit(main())
