"""Whether a table's own words say that it is not whole."""

import re
from collections.abc import Iterable

# What services write when they cut an answer off (TAP's QUERY_STATUS, VizieR's and IRSA's remarks).
_STATUS = re.compile(r"QUERY_STATUS\W{0,12}(?:value\W{0,4})?(OVERFLOW|ERROR)\b.*", re.IGNORECASE)
_CUT = re.compile(
    r"\b(overflow\w*|truncated|cut off|incomplete (?:result|table|answer)|partial result|"
    r"(?:maximum|max\.?) number of (?:rows|records|sources|objects) \w*\s*(?:reached|exceeded)|"
    r"(?:row|record|maxrec|size) limit \w*\s*(?:was |has been )?(?:reached|exceeded|hit)|"
    r"only the first \d+|more than \d+ (?:rows|records|sources) (?:match|found))\b",
    re.IGNORECASE,
)
_ROWS = re.compile(
    r"^[\\#\s]*(?:RowsRetr(?:ie|ei)ved|n_?rows|number of rows|rows(?: returned)?)\s*[=:]\s*'?(\d+)'?\s*$"
    r"|^\s*\((\d+) rows?\)\s*$|^#END#\s+(\d+) rows\s*$"
    r"|^\s*(\d+) rows? (?:selected|retrieved|returned|fetched|in set)\b.{0,40}$",
    re.IGNORECASE,
)


def cut_off(remarks: Iterable[str]) -> str | None:
    """The remark of a table's source that says rows are missing; None if none does."""
    for remark in remarks:
        if _STATUS.search(remark) or _CUT.search(remark):
            return " ".join(remark.strip("#\\ \t\r\n").split())[:160]
    return None


def stated_rows(remarks: Iterable[str]) -> int | None:
    """How many rows a header or a last line says that there are; None if none does."""
    for remark in remarks:
        if found := _ROWS.match(remark):
            return int(next(group for group in found.groups() if group)[:18])
    return None
