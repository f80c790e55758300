"""Snowflake for the demo and the tests: fakesnow behind a front that checks who signs in and reads tables on Azure for real."""
