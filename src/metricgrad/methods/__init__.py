"""Procedures: how a road to a gradient becomes training steps, one file a road."""
