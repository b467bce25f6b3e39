"""Versions of a dataset's classifier and the gate that they pass."""
