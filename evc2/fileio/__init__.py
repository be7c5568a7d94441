"""Data directories, arks and audio files. Needs no torch."""
