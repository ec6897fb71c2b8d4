"""Ours beside the peers that one would use instead.

Makes our layer and the tests' support importable for `python -m benchmarks.<name>`.
"""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1] / folder) for folder in ("layers/segmentation", "tests")]
