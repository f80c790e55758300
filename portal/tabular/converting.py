"""The conversion as engines, migrate and previews call it."""

from __future__ import annotations

from portal.tabular.conversion.converting import clear_scratch, convert_dataset, convert_object
from portal.tabular.conversion.preview import Preview, preview_object
from portal.tabular.options import ConvertOptions, suits, target_name
from portal.tabular.outcome import Converted

__all__ = [
    "ConvertOptions", "Converted", "Preview", "clear_scratch", "convert_dataset", "convert_object", "preview_object", "suits", "target_name",
]  # fmt: skip
