"""ZeroSpeech "TTS without T" (2019, 2020): ABX, bitrate and submissions of discovered units.

Facts about the track's files and formulas come from the public evaluator (zerospeech2020) and from ABXpy; the code is
written from these facts, and tested against plain loops.
"""
