"""Estimators that take raw images, the families they come in, and the files they are kept in."""
