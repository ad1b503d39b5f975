"""What `spf plugins new` can write: a component of any kind, or a command."""

from spf_core.plugins.configs import KINDS

COMMAND = "command"
NEW_KINDS = (*KINDS, COMMAND)
