"""Acoustic features: contracts, WORLD and log-mel analysis, statistics, prosody conversion, distances. No torch."""
