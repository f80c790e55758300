"""Tables on Azure made known to Snowflake: as Iceberg tables of their metadata files, or as external tables over folders of Parquet."""
