"""A report on a fitted model: one HTML file that works without a network."""

from bilstm.report.page import report_html, write_report

__all__ = ["report_html", "write_report"]
