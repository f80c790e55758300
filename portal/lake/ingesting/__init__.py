"""Hive tables become Iceberg tables: by Spark, partition by partition, checked before anybody sees them, and without a byte of the source touched."""
