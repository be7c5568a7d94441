"""What stands among the phones where no phone is said."""

SILENCE, PAUSE, NOISE = "sil", "sp", "spn"
"""Silence at the ends of an utterance, a pause within it, and noise or a word that nobody knows."""
SILENCES = (SILENCE, PAUSE, NOISE)
SILENT_LABELS = frozenset({"", SILENCE, PAUSE, "<eps>", "<sil>", "pau"})
"""What aligners write where nobody speaks, in lower case; the empty label is that of newer versions."""
