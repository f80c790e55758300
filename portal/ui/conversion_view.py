"""A conversion as people look at it: how a file is read and why, its columns, first rows, and what would not fit; before it is run and after."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from portal.ui import wording
from portal.ui.wording import count_of, plain

Told = Mapping[str, Any]

_ROW_PX, _HEAD_PX, _MOST_PX = 30, 34, 420
_CHARACTERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar", " ": "space", '"': "double quote", "'": "single quote", "": "none"}
_WORDS = {"bom": "Byte order mark", "row_groups": "Row groups"}
_EVIDENCE_OF = {"encoding": "encoding_evidence", "delimiter": "dialect_evidence", "records": "evidence"}
"""Facts and the fact that tells the evidence for them."""
_PLAIN = "every value fits it"
_SHORT = ("format", "records", "encoding", "compression", "delimiter", "header")
_WHY, _RAW = "Why, and what else to know", "As it stands in the file"
_HIDDEN = ("plain", "names", *_EVIDENCE_OF.values())
_SHOWN_WARNINGS = 20


def previews(found: Sequence[Told]) -> None:
    """Show the previews of a few files, one below a tab each."""
    if not found:
        return
    st.subheader("What would be converted")
    if len(found) == 1:
        _named(found[0])
        preview(found[0])
        return
    for tab, told in zip(st.tabs([_tab(told) for told in found]), found, strict=True):
        with tab:
            _named(told)
            preview(told)


def _tab(told: Told) -> str:
    return plain(str(told.get("source", "")).rpartition("/")[2] or "file")


def _named(told: Told) -> None:
    size = f" · {wording.size(told['bytes'])}" if isinstance(told.get("bytes"), int) else ""
    st.caption(f"{plain(told.get('source', ''))} :material/arrow_right_alt: {plain(told.get('target', ''))}{size}")


def preview(told: Told) -> None:
    """Show what a conversion of one file would decide; nothing was written."""
    if told.get("error"):
        st.error(plain(told.get("hint") or "Nothing was written."), title=plain(told["error"]), icon=":material/block:")
        return
    warnings(told.get("warnings") or ())
    reading(told.get("reading") or {})
    _looked_at(told)
    rejects(told.get("misfits") or (), told.get("rows_rejected"))
    columns(told.get("columns") or (), told.get("rows") or ())
    first_rows(told.get("rows") or ())
    schema_document(told.get("schema"), str(told.get("source", "")))


def _looked_at(told: Told) -> None:
    count = told.get("rows_in") or 0
    parts = [f"All {count_of(count, 'row')} looked at" if told.get("whole") else f"{count_of(count, 'row')} of samples looked at"]
    if left_out := told.get("rows_filtered"):
        parts.append(f"{left_out:,} left out by where")
    st.caption(f":material/visibility: {', '.join(parts)}.")


def warnings(lines: Sequence[str]) -> None:
    """Show what a person should know before trusting the result."""
    if lines:
        shown = "\n".join(f"- {plain(' '.join(str(line).split()))}" for line in lines[:_SHOWN_WARNINGS])
        st.warning(shown, title=count_of(len(lines), "thing") + " to know", icon=":material/warning:")


def reading(facts: Told) -> None:
    """Show how a file is read: the facts in a line, the evidence for them below."""
    names = [name for name in dict.fromkeys((*_SHORT, *facts)) if name in facts and name not in _HIDDEN and facts[name] not in ("", 0, None)]
    if not names:
        return
    short = " · ".join(f"{_word(name)} **{plain(_value(name, facts[name]))}**" for name in names if name in _SHORT and facts[name])
    with st.expander(f"How it is read: {short}" if short else "How it is read", icon=":material/fact_check:"):
        st.markdown("\n".join(_fact(name, facts) for name in names))


def _fact(name: str, facts: Told) -> str:
    evidence = facts.get(_EVIDENCE_OF.get(name, "")) or ""
    told = f": {plain(' '.join(str(evidence).split()))}" if evidence else ""
    return f"- {_word(name).capitalize()} **{plain(_value(name, facts[name]))}**{told}"


def _word(name: str) -> str:
    return _WORDS.get(name, name.replace("_", " "))


def _value(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return _CHARACTERS.get(value, value) if name in ("delimiter", "quote", "escape", "comment") else value
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return "" if value is None else json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, Mapping) else str(value)


def columns(found: Sequence[Told], rows: Sequence[Told] = ()) -> None:
    """Show the columns with their types and why; an example of each where there are rows, nulls and checksums where they are known."""
    if not found:
        return
    st.markdown(f"**{count_of(len(found), 'column')}**")
    table = [{"Column": item["name"], "Type": item["type"], **_details(item, rows), _WHY: item.get("note") or _PLAIN} for item in found]
    st.dataframe(
        table, hide_index=True, row_height=_ROW_PX, height=_height(table), alt="Columns", placeholder=wording.NONE,
        column_config={
            "Column": st.column_config.TextColumn(width="medium"), "Type": st.column_config.TextColumn(width="medium"),
            _WHY: st.column_config.TextColumn(width="large"), "Nulls": st.column_config.NumberColumn(format="localized"),
        },
    )  # fmt: skip


def _details(item: Told, rows: Sequence[Told]) -> dict[str, Any]:
    if item.get("checksum"):
        return {"Nulls": item.get("nulls"), "Checksum": item["checksum"]}
    values = (row.get(item["name"]) for row in rows)
    return {"Example": next((str(value) for value in values if value is not None), None)} if rows else {}


def first_rows(rows: Sequence[Told]) -> None:
    """Show rows as they would be written, each value as text."""
    if rows:
        st.markdown(f"**The first {count_of(len(rows), 'row')}**" if len(rows) > 1 else "**The first row**")
        st.dataframe(list(rows), hide_index=True, row_height=_ROW_PX, height=_height(rows), alt="First rows", placeholder="null")
    else:
        st.caption("No row would be written.")


def rejects(rows: Sequence[Told], count: int | None = None) -> None:
    """Show records that do not fit: where, why, and how they stand in the file."""
    if not rows:
        if count:
            st.warning(f"{count_of(count, 'row')} would not fit.", icon=":material/rule:")
        return
    known = max(count or 0, len(rows))
    shown = f", the first {len(rows):,}" if known > len(rows) else ""
    st.markdown(f"**{count_of(known, 'row')} that {'does' if known == 1 else 'do'} not fit**{shown}")
    names = {"source": "File", "line": "Line", "offset": "Byte", "column": "Column", "reason": "Why", "raw": _RAW}
    table = [{title: row[name] for name, title in names.items() if row.get(name) not in (None, "")} for row in rows]
    number, wide = st.column_config.NumberColumn(format="localized", width="small"), st.column_config.TextColumn(width="large")
    st.dataframe(
        table, hide_index=True, row_height=_ROW_PX, height=_height(table), alt="Rows that do not fit", placeholder=wording.NONE,
        column_config={"Line": number, "Byte": number, "Why": wide, _RAW: wide},
    )  # fmt: skip


def schema_document(schema: Any, source: str) -> None:
    """Offer a schema as a file, to be used for other conversions."""
    if schema:
        name = source.rpartition("/")[2].partition(".")[0] or "columns"
        st.download_button(
            "Schema document", json.dumps(schema, ensure_ascii=False, indent=1), f"{name}.schema.json", "application/json", type="tertiary",
            icon=":material/schema:", on_click="ignore", key=f"schema-{source}",
            help="Change it, and give it to a job: Schema from, or Schema document",
        )  # fmt: skip


def _height(rows: Sequence[Any]) -> int:
    return min(_MOST_PX, _HEAD_PX + _ROW_PX * len(rows))
