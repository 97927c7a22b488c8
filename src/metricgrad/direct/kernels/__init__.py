"""Decodes on the CPU in compiled loops, each equal to its plain torch text."""
