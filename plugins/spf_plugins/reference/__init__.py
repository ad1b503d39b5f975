"""Reference paths: the original model on the base text, without gradient."""

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from spf_core.plugins import ReferenceConfig, Register, hookimpl
from spf_core.utils.validation import MANY

if TYPE_CHECKING:
    from spf_core.interfaces import Reference


class AdapterOff(ReferenceConfig):
    """The trained model with its adapter switched off: no second set of weights."""

    name = "adapter-off"
    runs_shards = True

    def build(self) -> "Reference":
        """Return the reference path."""
        from spf_plugins.reference.paths import AdapterOffPath

        return AdapterOffPath()


class FrozenCopy(ReferenceConfig):
    """A copy of the original model beside the trained one: twice the weights, nothing to switch."""

    name = "frozen-copy"

    def build(self) -> "Reference":
        """Return the reference path."""
        from spf_plugins.reference.paths import FrozenCopyPath

        return FrozenCopyPath()


class Bank(ReferenceConfig):
    """The original model's outputs on states of its own sampling, computed before training: faster steps.

    Rows that are noised training images are not aligned.
    """

    name = "bank"
    replaces: ClassVar[dict[str, str]] = {"train.bank": "states"}
    states: int = Field(1, ge=1, le=MANY, description="states that are kept of each row")

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
