"""Fitting candidates, remembering them in MLflow, and judging them."""
