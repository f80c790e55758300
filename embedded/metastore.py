"""A Hive Metastore on this machine: Hive's own, over Derby. `python -m embedded.metastore --root DIR --port 0` prints where it listens.

It is the metastore of the jars that come with pyspark (Hive 2.3), its database and its warehouse are folders below DIR, and it listens on
127.0.0.1 only. Hive 2.3 itself would listen on every address of the machine: its server is therefore put together here, from Hive's own handler.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from py4j.java_gateway import GatewayParameters, JavaGateway, launch_gateway
from py4j.protocol import Py4JError, Py4JJavaError

from embedded import processes
from embedded.java import java

_OPTIONS = ("-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-Djava.net.preferIPv4Stack=true")
_THREADS = 200
"""Clients that may be connected at a time."""


def settings(root: Path, warehouse: Path) -> dict[str, str]:
    """Return the settings of a metastore whose database lives below a folder."""
    return {
        "javax.jdo.option.ConnectionURL": f"jdbc:derby:;databaseName={root / 'database'};create=true",
        "javax.jdo.option.ConnectionDriverName": "org.apache.derby.jdbc.EmbeddedDriver",
        "datanucleus.schema.autoCreateAll": "true",
        "datanucleus.connectionPoolingType": "dbcp",
        "hive.metastore.schema.verification": "false",
        "hive.metastore.warehouse.dir": warehouse.as_uri(),
        "hive.async.log.enabled": "false",
        # A client that was killed leaves its lock: a lock without a heartbeat is taken away after a while.
        "hive.txn.timeout": "60s",
        "hive.timedout.txn.reaper.start": "10s",
        "hive.timedout.txn.reaper.interval": "10s",
    }


@contextlib.contextmanager
def machine(root: Path) -> Iterator[tuple[JavaGateway, subprocess.Popen[bytes]]]:
    """Run a Java that has Hive's classes, its output in `root`/java.log; it ends with this process, however that ends."""
    spec = find_spec("pyspark")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("pyspark is not installed, whose jars hold the metastore; it is in requirements-lake.txt.")
    jars = Path(spec.origin).parent / "jars"
    with (root / "java.log").open("w") as log:
        port, token, process = launch_gateway(
            jarpath=str(next(jars.glob("py4j-*.jar"))), classpath=str(jars / "*"), java_path=java(), die_on_exit=True, enable_auth=True,
            return_proc=True, javaopts=[*_OPTIONS, f"-Dderby.stream.error.file={root / 'derby.log'}"], redirect_stdout=log, redirect_stderr=log,
        )  # fmt: skip
        gateway = JavaGateway(gateway_parameters=GatewayParameters(port=port, auth_token=token, enable_memory_management=False))
        try:
            yield gateway, process
        finally:
            process.terminate()
            process.wait()


def server(gateway: JavaGateway, told: Mapping[str, str], port: int) -> tuple[Any, int]:
    """Make the metastore and its tables; returns the thrift server, which is not serving yet, and the port that it has taken."""
    packages = gateway.jvm.org.apache
    hive, thrift = packages.hadoop.hive, packages.thrift
    conf = hive.conf.HiveConf()
    for name, value in told.items():
        conf.set(name, value)
    _prepare_locks(hive.metastore.txn.TxnDbUtil, conf)
    handler = getattr(hive.metastore, "HiveMetaStore$HMSHandler")("box", conf, False)
    answering = hive.metastore.TSetIpAddressProcessor(hive.metastore.RetryingHMSHandler.getProxy(conf, handler, False))
    hive.ql.txn.AcidHouseKeeperService().start(conf)
    socket = thrift.transport.TServerSocket(gateway.jvm.java.net.InetSocketAddress("127.0.0.1", port))
    arguments = getattr(thrift.server, "TThreadPoolServer$Args")(socket).processor(answering).maxWorkerThreads(_THREADS)
    return thrift.server.TThreadPoolServer(arguments), socket.getServerSocket().getLocalPort()


def _prepare_locks(database: Any, conf: Any) -> None:
    """Make the tables of locks and transactions, all or none; without them, a client that locks waits for ever."""
    try:
        database.prepDb(conf)
    except Py4JJavaError as error:
        if "already exists" not in _first_line(error):
            raise


def _first_line(error: Exception) -> str:
    """What Java says of an error: it is asked for, and must still be there."""
    return str(error.java_exception.toString()) if isinstance(error, Py4JJavaError) else str(error)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m embedded.metastore", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True, metavar="DIR", help="folder of its database; may exist already")
    parser.add_argument("--warehouse", type=Path, metavar="DIR", help="folder that new databases lie in (default: warehouse in --root)")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 takes a free one (default)")
    arguments = parser.parse_args()
    if arguments.port and processes.port_in_use(arguments.port):
        sys.exit(f"embedded.metastore: port {arguments.port} of 127.0.0.1 is in use: stop what uses it or give another --port.")
    root = arguments.root.resolve()
    warehouse = (arguments.warehouse or root / "warehouse").resolve()
    for folder in (root, warehouse):
        folder.mkdir(parents=True, exist_ok=True)
    logging.getLogger("py4j").setLevel(logging.CRITICAL)  # it tells at length that Java has ended
    processes.stop_on_signals()
    with contextlib.suppress(KeyboardInterrupt), _alone(root):
        _serve(root, settings(root, warehouse), arguments.port)


@contextlib.contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Derby's files are one process's; it says so in no way that anybody would understand."""
    with (root / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit(f"embedded.metastore: another one uses {root}: stop it, or give another --root.")
        yield


def _serve(root: Path, conf: Mapping[str, str], port: int) -> None:
    log = f"The output of Java is in {root / 'java.log'}."
    try:
        with machine(root) as (gateway, process):
            try:
                serving, bound = server(gateway, conf, port)
            except Py4JError as error:
                sys.exit(f"embedded.metastore: it did not start: {_first_line(error)}\n{log}")
            threading.Thread(target=_answer, args=(serving,), daemon=True).start()
            print(f"ready thrift://127.0.0.1:{bound}", flush=True)
            sys.exit(f"embedded.metastore: Java ended with exit code {process.wait()}. {log}")
    except (FileNotFoundError, ValueError) as error:
        sys.exit(f"embedded.metastore: it did not start: {error}\n{log}")


def _answer(serving: Any) -> None:
    """Serve until Java ends, which the main thread tells."""
    with contextlib.suppress(Py4JError, OSError):
        serving.serve()


if __name__ == "__main__":
    main()
