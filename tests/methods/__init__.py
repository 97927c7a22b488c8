"""Tests of the families of methods: names, objectives, steps."""
