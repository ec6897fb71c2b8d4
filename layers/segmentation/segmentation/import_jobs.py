"""Imports as jobs: announce a file, plan it once however often its event comes, and close the job with links."""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import unquote

from segmentation import finishing, imports
from segmentation.engine.catalogue import Kind
from segmentation.errors import SegmentationError
from segmentation.models.common import iso
from segmentation.models.imports import ImportPlan
from segmentation.store import catalogue, jobs, keys, rejects
from segmentation.store.store import Store
