"""Listening tests: making their pages, storing the answers, scoring them."""
