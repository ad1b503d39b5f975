"""What authors of components would otherwise write again: maps, attention, estimates, sites, trackers."""

from spf_core.helpers.attention_sites import CrossAttentionSite, JointAttentionSite, checkpointed, record
from spf_core.helpers.estimates import attention_to, clean_estimate, row_mean, rows_below
from spf_core.helpers.maps import (
    Grid,
    at_latents,
    at_queries,
    effective_share,
    middle_attention,
    min_max,
    phrase_attention,
    stretch,
    stretch_to_share,
)
from spf_core.helpers.trackers import AccelerateTracker

__all__ = [
    "AccelerateTracker",
    "CrossAttentionSite",
    "Grid",
    "JointAttentionSite",
    "at_latents",
    "at_queries",
    "attention_to",
    "checkpointed",
    "clean_estimate",
    "effective_share",
    "middle_attention",
    "min_max",
    "phrase_attention",
    "record",
    "row_mean",
    "rows_below",
    "stretch",
    "stretch_to_share",
]
