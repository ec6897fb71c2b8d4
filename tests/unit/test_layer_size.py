"""How layers are weighed and linked; what they weigh is checked after a build, by `make size`."""

import shutil
import subprocess
import sys
from pathlib import Path

from dev import gaps, size
from support.service import template


def test_a_layer_weighs_the_sum_of_its_files_and_links_count_in_full(tmp_path: Path) -> None:
    library = tmp_path / "python" / "library"
    library.mkdir(parents=True)
    (library / "large.so").write_bytes(b"x" * 1000)
    (library / "again.so").hardlink_to(library / "large.so")
    (library / "__init__.py").write_bytes(b"x" * 10)
    assert size.weigh(tmp_path) == 2010


def test_layers_within_the_limit_have_nothing_to_report() -> None:
    assert size.excess({"LibrariesLayer": 100_000_000, "DataLayer": 115_000_000}) is None


def test_layers_over_the_limit_are_reported_with_both_sizes() -> None:
    assert size.excess({"LibrariesLayer": 100_000_000, "DataLayer": 115_000_001 + 400_000}) == (
        "215.4 MB are more than the 215.0 MB allowed."
    )


def test_every_layer_of_the_template_is_weighed() -> None:
    layers = [name for name, item in template()["Resources"].items() if item["Type"] == "AWS::Serverless::LayerVersion"]
    assert sorted(size.LAYERS) == sorted(layers)


def test_a_linked_layer_is_found_before_the_environment(tmp_path: Path) -> None:
    built = tmp_path / "build" / "DataLayer"
    (built / "python" / "pyarrow").mkdir(parents=True)
    (built / "python" / "pyarrow" / "__init__.py").write_text("ORIGIN = 'the layer'")
    gaps.link_layer(built, tmp_path / "layers")
    site = built / "python" / "lib" / "python3.13" / "site-packages"
    code = f"import site; site.addsitedir({str(site)!r}); import pyarrow; print(pyarrow.ORIGIN)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "the layer"


def test_linking_a_rebuilt_layer_keeps_the_copy_that_processes_use(tmp_path: Path) -> None:
    built, home = tmp_path / "build" / "DataLayer", tmp_path / "layers"
    for _ in range(2):
        shutil.rmtree(built, ignore_errors=True)
        (built / "python").mkdir(parents=True)
        (built / "python" / "module.py").write_text("")
        gaps.link_layer(built, home)
    (place,) = home.iterdir()
    assert place.name.startswith("DataLayer-")
    assert [file.name for file in place.iterdir()] == ["module.py"]
