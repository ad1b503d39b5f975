"""What `spf plugins check` tries of a component of each kind, from the checks themselves."""

from inspect import getdoc

from docs.generators.markdown import cell, table
from spf_core.testing import general
from spf_core.testing.component import OF_KIND
from spf_core.testing.subject import Check


def checks_of_kinds() -> str:
    """A table of the checks that all kinds have, and one for each kind."""
    kinds = {kind: checks for kind, checks in OF_KIND.items() if kind != "preset"}
    training = OF_KIND["preset"]
    parts = ["#### every kind", _table((*general.CHECKS, general.BUILT))]
    for kind, checks in kinds.items():
        own = [each for each in checks if each not in training]
        trains = training[0] in checks
        parts.append(f"#### {kind} {{ #checks-{kind} }}")
        parts.append(_table(own) if own else "")
        parts.append("The two checks under *training* follow these." if trains else "None of them trains.")
    parts += ["#### training { #checks-training }", _table(training)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _table(checks: "tuple[tuple[str, Check], ...] | list[tuple[str, Check]]") -> str:
    rows = [(cell(name), cell((getdoc(check) or "").partition("\n\n")[0])) for name, check in checks]
    return table(("check", "what must hold"), rows)
