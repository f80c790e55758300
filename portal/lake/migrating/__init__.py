"""Brings an Iceberg table to another place with its history: data files by the portal's own transfers, metadata written anew, the catalog last."""
