"""Text and phones: what is said, and when."""
