"""Closed forms of embeddings."""
