"""Networks of the two-stage sequence-to-sequence conversion (Zhou, Sisman and Li, Interspeech 2021, arXiv 2103.16809).

They are those of Zhang, Ling and Dai, "Non-parallel sequence-to-sequence voice conversion with disentangled linguistic
and speaker representations" (arXiv 1906.10508, sec. III and table I).
"""
