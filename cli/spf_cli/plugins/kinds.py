"""What `spf plugins new` can write: a component of any kind, hooks, or a command."""

from spf_core.plugins.configs import KINDS

COMMAND = "command"
HOOKS = "hooks"
WITHOUT_CONTRACT = (HOOKS, COMMAND)  # they are no components, so `spf plugins check` has nothing to try
NEW_KINDS = (*KINDS, *WITHOUT_CONTRACT)
