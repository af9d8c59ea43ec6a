"""Rows whose label a model contradicts, and so do the rows that the model finds most alike.

The model's probabilities must be out of fold: of a model that did not learn the row, nor a copy of it.
"""

from __future__ import annotations

NEIGHBOURS = 20
