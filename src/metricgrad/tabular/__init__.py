"""A table and no code: its schema, rows as arrays, parts, networks and trees, and the rule that decides."""

from metricgrad.tabular.saved import TableModel as TableModel
from metricgrad.tabular.saved import load_table_model as load_table_model

__all__ = ["TableModel", "load_table_model"]
