"""What Spark does in the comparison, each a process of its own: `python -m bench.lake.spark_side make|copy|nothing ROOT [NAME …]`.

`make` writes the tables. `copy` brings one over as Iceberg's documentation has it: the procedure rewrite_table_path stages metadata with the target's
paths and lists what to copy from where to where; whoever runs it copies. `nothing` starts the same session and ends it.
"""

from __future__ import annotations

import csv
import os
import shutil
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import snowpark_connect_deps_iceberg
from py4j.protocol import Py4JJavaError
from pyspark.sql import SparkSession

from embedded.java import java

_COPIERS = 8
_JAR = "iceberg-spark-runtime-3.5_2.12-1.10.2.jar"


@contextmanager
def session(root: Path) -> Iterator[Any]:
    os.environ.update(JAVA_HOME=str(Path(java()).resolve().parent.parent), SPARK_LOCAL_IP="127.0.0.1")
    catalog = "spark.sql.catalog.old"
    conf = {
        "spark.driver.memory": "1g", "spark.ui.enabled": "false", "spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.showConsoleProgress": "false", "spark.jars": str(snowpark_connect_deps_iceberg.get_jar_path(_JAR)),
        "spark.sql.extensions": "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions", "spark.sql.shuffle.partitions": "2",
        "spark.driver.extraJavaOptions": f"-XX:+UseSerialGC -Djava.io.tmpdir={root}", "spark.local.dir": str(root / "spark"),
        catalog: "org.apache.iceberg.spark.SparkCatalog", f"{catalog}.type": "hadoop", f"{catalog}.warehouse": (root / "data" / "old").as_uri(),
    }  # fmt: skip
    builder = SparkSession.builder.master("local[2]").appName("bench")
    for name, value in conf.items():
        builder = builder.config(name, value)
    found = builder.getOrCreate()
    found.sparkContext.setLogLevel("OFF")
    try:
        yield found
    finally:
        found.stop()


def make(root: Path, snapshots: int, files: int) -> None:
    """`n.empty`; `n.plain`: so many snapshots with so many files each; `n.deletes` and `n.vectors`: six snapshots, rows deleted by merge-on-read."""
    rows = "select id, cast(id % 7 as int) g, concat('name ', id) s, cast(id as decimal(12, 2)) d"
    with session(root) as spark:
        spark.sql("create table old.n.empty (id bigint) using iceberg")
        spark.sql("create table old.n.plain (id bigint, g int, s string, d decimal(12, 2)) using iceberg")
        for number in range(snapshots):
            first = number * files * 200
            spark.sql(f"insert into old.n.plain {rows} from range({first}, {first + files * 200}, 1, {files})")
        for name, version in (("deletes", 2), ("vectors", 3)):
            properties = f"'format-version' = '{version}', 'write.delete.mode' = 'merge-on-read'"
            spark.sql(f"create table old.n.{name} using iceberg tblproperties ({properties}) as {rows} from range(0, 3000, 1, 2)")
            for number in range(5):
                spark.sql(f"delete from old.n.{name} where id % 31 = {number}")


def copy(root: Path, name: str) -> None:
    """Into `data/theirs/NAME`; the path of the metadata file goes to `theirs-NAME`."""
    old, new = (root / "data" / side / name for side in ("old/n", "theirs"))
    with session(root) as spark:
        told = _called(
            spark,
            f"call old.system.rewrite_table_path(table => 'n.{name}', source_prefix => 'file:{old}', target_prefix => 'file://{new}', "
            f"staging_location => 'file://{root}/data/staging-{name}')",
        )
    folder = Path(told.file_list_location.removeprefix("file:").replace("//", "/"))
    pairs = [row for part in sorted(folder.glob("part-*")) for row in csv.reader(part.open())] if folder.is_dir() else list(csv.reader(folder.open()))
    with ThreadPoolExecutor(_COPIERS) as pool:
        list(pool.map(lambda pair: _copy(*pair), pairs))
    (root / f"theirs-{name}").write_text(f"file://{new}/metadata/{told.latest_version}")


def _called(spark: Any, statement: str) -> Any:
    """Its one row. Ends the process with Java's first cause when the procedure fails."""
    try:
        return spark.sql(statement).collect()[0]
    except Py4JJavaError as error:
        cause = error.java_exception
        while cause.getCause() is not None:
            cause = cause.getCause()
        sys.exit(str(cause.toString()).partition("\n")[0])


def _copy(source: str, target: str) -> None:
    place = Path("/" + target.removeprefix("file:").lstrip("/"))
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile("/" + source.removeprefix("file:").lstrip("/"), place)


def main() -> None:
    what, root, *rest = sys.argv[1:]
    if what == "make":
        make(Path(root), *map(int, rest))
    elif what == "copy":
        copy(Path(root), *rest)
    else:
        with session(Path(root)):
            pass


if __name__ == "__main__":
    main()
