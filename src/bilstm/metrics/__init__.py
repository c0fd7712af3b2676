"""Figures of merit, simple rules to compare with, and how sure a figure is: each is computed here and only here."""
