"""Metrics of SPI and SPS, and scores of the literature beside them: their options. Torch-free."""

from spf_core.plugins import MetricConfig, ScoreConfig
from spf_lab.metrics.configs import own, preservation, purity, response

METRICS: tuple[type[MetricConfig], ...] = purity.METRICS
SCORES: list[type[ScoreConfig]] = [*own.SCORES, *preservation.SCORES, *response.SCORES]
