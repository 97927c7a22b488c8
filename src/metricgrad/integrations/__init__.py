"""Adapters for packages of others; each file needs the package that it is named after, and is imported by its path."""
