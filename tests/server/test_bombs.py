"""Uploads and bodies that are small and would become large, or are deep: refused in words."""

from __future__ import annotations

import gzip

import orjson
import polars as pl
import pytest

from bilstm.data.tables.reader import read_raw
from bilstm.errors import DataError
from bilstm.server.errors import RequestError
from bilstm.server.formats.values import Field
from bilstm.server.page.inputs import check_lines, read_content


def test_a_packed_upload_is_refused_whatever_it_is_called(tmp_path):
    pl.DataFrame({"x": [1]}).write_parquet(tmp_path / "x")
    for content in (gzip.compress(b"x\n1\n"), b"PK\x03\x04....", (tmp_path / "x").read_bytes()):
        with pytest.raises(DataError, match=r"got a packed file \(a\.csv\)"):
            read_content("a.csv", content, read_raw)


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_an_upload_of_far_more_lines_than_a_request_may_have_is_refused(end):
    check_lines("a.csv", b"x" + 1000 * end, 1000)
    with pytest.raises(DataError, match=r"at most 1,000 lines, got more than [\d,]+ \(a\.csv\)"):
        check_lines("a.csv", 2500 * (b"x" + end), 1000)


def test_a_deep_value_is_named_by_its_kind():
    deep = orjson.loads("[" * 1000 + "]" * 1000)
    with pytest.raises(RequestError, match="expected a number, got a list"):
        Field("x", "number").check(deep, "rows[0]")
