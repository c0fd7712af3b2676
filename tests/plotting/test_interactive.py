"""Figures of plotly.js say what their panels say."""

from __future__ import annotations

import numpy as np

from bilstm.plotting.description import Line, Panel, Points
from bilstm.plotting.interactive import to_plotly


def test_positions_that_are_fractions_of_a_large_number_stay_apart():
    years = 2001.0 + np.arange(5) / 4
    drawn = to_plotly([Panel([Line(np.arange(5.0), years), Points(years, years * 1000)])])["data"]
    assert drawn[0]["x"] == drawn[1]["x"] == years.tolist()
    assert drawn[1]["y"] == (years * 1000).tolist()


def test_values_keep_five_digits():
    assert to_plotly([Panel([Line([2001.256, 0.123456789])])])["data"][0]["y"] == [2001.3, 0.12346]
