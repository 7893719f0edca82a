"""Detectors of the unusual that need nothing but Python, for one tag at a time: at the edge, in an agent, anywhere."""

from fieldline.detectors.refractory import Refractory
from fieldline.detectors.surprise import Surprise
from fieldline.detectors.tuning import Tuning

__all__ = ["Refractory", "Surprise", "Tuning"]
