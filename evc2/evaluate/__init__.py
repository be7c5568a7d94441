"""Evaluation: one metric a file, a registry, scores per trial, intervals and the table of results (no torch)."""
