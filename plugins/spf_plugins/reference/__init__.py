"""Reference paths: the base model on the base text, without gradient."""

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from spf_core.plugins import ReferenceConfig, Register, hookimpl
from spf_core.utils.validation import MANY

if TYPE_CHECKING:
    from spf_core.interfaces import Reference


class AdapterOff(ReferenceConfig):
    """Runs the tuned model with its adapter switched off. Needs no second set of weights."""

    name = "adapter-off"
    runs_shards = True

    def build(self) -> "Reference":
        """Return the reference path."""
        from spf_plugins.reference.paths import AdapterOffPath

        return AdapterOffPath()


class FrozenCopy(ReferenceConfig):
    """Runs a copy of the base model beside the tuned one. Needs twice the weights."""

    name = "frozen-copy"

    def build(self) -> "Reference":
        """Return the reference path."""
        from spf_plugins.reference.paths import FrozenCopyPath

        return FrozenCopyPath()


class Bank(ReferenceConfig):
    """Computes the reference path before training, on states of the base model's own sampling.

    Steps are faster, as they run only the response path. Rows of noised training images have no alignment.
    """

    name = "bank"
    replaces: ClassVar[dict[str, str]] = {"train.bank": "states"}
    states: int = Field(1, ge=1, le=MANY, description="Number of states to keep for each row.")

    @property
    def recorded_states(self) -> int:
        """All of them."""
        return self.states

    def build(self) -> "Reference":
        """Return the reference path."""
        from spf_plugins.reference.bank import BankPath

        return BankPath(self.states)


@hookimpl
def spf_register(register: Register) -> None:
    """Register the components of this group."""
    for config in (AdapterOff, FrozenCopy, Bank):
        register(config)
