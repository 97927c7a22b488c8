"""Data of the field in a user's folder: the official lists of published data sets, read as they are distributed.

One file per form of list. What a list names is checked against the folder, counted, and read picture by picture. The
tasks of `metricgrad.tasks` make splits of it.
"""
