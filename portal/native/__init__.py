"""The fast path of the converter: CSV and JSON to Arrow columns in C++, built by `python -m portal.native.build`. Without it: slower."""
