"""The demo: every departure from New York in 2013 as traffic, and two models that guess which arrive late."""

from gnomon.demo.flights import FEATURES, LATE, traffic, training
from gnomon.demo.models import ModelReport, build_models

__all__ = ["FEATURES", "LATE", "ModelReport", "build_models", "traffic", "training"]
