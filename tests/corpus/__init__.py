"""Hard files, each with what must become of it: by what a conversion promises, not by what some reader happens to do."""

from tests.corpus import csv_dialects, csv_late, csv_types, json_cases
from tests.corpus.case import Case

CASES: dict[str, Case] = {case.name: case for case in (*csv_types.CASES, *csv_dialects.CASES, *csv_late.CASES, *json_cases.CASES)}
