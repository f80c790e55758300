"""Apache Spark: a session, and our own functions run on its executors."""
