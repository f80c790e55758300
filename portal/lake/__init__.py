"""Tables: Hive, Iceberg, Spark, and what is registered in Snowflake. Everything heavy is imported by those who need it, not here."""
