"""A table and no code: its schema, rows as arrays, parts, networks and trees, and the rule that decides."""

__all__ = []
