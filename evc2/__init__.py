"""evc2: voice and emotion conversion recipes on top of ESPnet."""

__version__ = "0.1.0"
