"""Conversions start without pandas, and data frames work after them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CODE = """
import sys
from pathlib import Path
from tests.tabular import convert
folder = Path(sys.argv[1])
convert(folder, "a,b,c\\n1,x,2024-01-31\\n2,y,2024-02-01\\n")
convert(folder, '{"a": [1, 2]}', "file.ndjson")
assert "pandas" not in sys.modules
import pyarrow as pa, pandas
assert pa.table({"a": pa.array(pandas.Series(["x"]))}).to_pandas()["a"].tolist() == ["x"]
"""


def test_a_conversion_loads_no_pandas_and_data_frames_work_after_it(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parent.parent
    subprocess.run([sys.executable, "-c", CODE, str(tmp_path)], cwd=root, check=True)
