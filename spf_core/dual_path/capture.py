"""The former place of the attention sites, which are in `spf_core.helpers`."""

from spf_core.utils.deprecation import moved

__getattr__ = moved(
    __name__,
    "spf_core.helpers",
    {"CrossAttentionSite", "JointAttentionSite", "checkpointed", "record"},
    gone_in="0.2",
)
