"""Frames in, scores out: features, detectors, thresholds, registry, evaluation. Knows no broker, store or web."""
