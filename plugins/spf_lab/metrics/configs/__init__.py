"""Scores of the literature, shown beside the purity score: their options. Torch-free."""

from spf_core.plugins.configs import ScoreConfig
from spf_lab.metrics.configs import own, preservation, response

SCORES: list[type[ScoreConfig]] = [*own.SCORES, *preservation.SCORES, *response.SCORES]
