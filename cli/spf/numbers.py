"""Numbers that a caller gives: the functions refuse what the command line refuses. Torch-free."""

from math import isfinite

from spf_core.errors import ConfigError, quoted

LAST_SEED = 2**63 - 1


def refuse_outside(least: int, most: int, **given: object) -> None:
    """ConfigError for one of the numbers that is not whole, or lies outside."""
    for name, value in given.items():
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise ConfigError(f"{name}={quoted(value)}: give a whole number from {least} to {most}")


def refuse_strength(strength: object) -> None:
    """ConfigError for a strength that is no number from 0 on."""
    number = isinstance(strength, int | float) and not isinstance(strength, bool)
    if not number or not isfinite(strength) or strength < 0:  # type: ignore[arg-type, operator]
        raise ConfigError(f"strength={quoted(strength)}: give a number from 0 on; 1 is the tuned model")
