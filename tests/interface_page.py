"""Writes docs/reference/interfaces.md: what is public, and what each kind of component must be.

Run `python tests/interface_page.py` after a change of an interface; a test compares.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import textwrap
from pathlib import Path
from typing import Any

from spf_core import interfaces
from spf_core.plugins.configs import KINDS, PROTOCOL_OF

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "interfaces.md"
PUBLIC = {
    "spf_core": "the version of the API",
    "spf_core.plugins": "config classes, the hook's decorator, types of options. Torch-free",
    "spf_core.interfaces": "the protocol of each kind, and what flows through a step",
    "spf_core.helpers": "maps, attention, clean estimates, attention sites",
    "spf_core.testing": "tiny models, a step's state, the contract of each kind",
    "spf_core.errors": "errors that a user reads as one line",
    "spf_core.export.run": "what an exporter gets",
    "spf_plugins.backbones.noise_processes": "noise processes for backbones",
    "spf_plugins.backbones.stable_diffusion": "the backbone `sd15`, to build another upon",
}
NAMES = {
    "spf_core": ["API_VERSION"],
    "spf_core.errors": ["ConfigError", "DataError", "PluginError", "RunError", "SpfError", "Unavailable"],
    "spf_core.export.run": ["FinishedRun", "Request"],
    "spf_plugins.backbones.noise_processes": ["DDPMNoise", "FlowNoise"],
    "spf_plugins.backbones.stable_diffusion": ["StableDiffusion"],
}
HEAD = """# Interfaces

`tests/interface_page.py` writes this page from the code. [Versions](versions.md) says what you can rely on.
`spf plugins new KIND NAME` writes a package with a component of any of these kinds.

## Public modules

| module | what it has | names |
|---|---|---|
"""


def names_of(module: str) -> list[str]:
    """The public names of a module."""
    return NAMES.get(module) or sorted(importlib.import_module(module).__all__)


def source_of(protocol: type) -> str:
    """The protocol as Python that is read and not run: signatures, with docstrings as comments."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(protocol)))
    (body,) = tree.body
    assert isinstance(body, ast.ClassDef)
    lines = [f"class {protocol.__name__}(Protocol):"]
    source = textwrap.dedent(inspect.getsource(protocol)).splitlines()
    for node in body.body[1:] if ast.get_docstring(body) else body.body:
        if isinstance(node, ast.FunctionDef):
            lines += [""] if len(lines) > 1 and not lines[-1].startswith("class") else []
            decorators = [f"    @{ast.unparse(each)}" for each in node.decorator_list]
            lines += decorators + source[node.lineno - 1 : node.body[0].lineno - 1]
            doc = re.sub(r"\s+", " ", ast.get_docstring(node) or "")
            lines += [f"        # {line}" for line in textwrap.wrap(doc, 98)]
        else:
            lines += source[node.lineno - 1 : (node.end_lineno or node.lineno)]
    return "\n".join(lines)


def config_of(base: type[Any]) -> str:
    """What a config class of the kind may say besides its options."""
    own = [name for name in inspect.get_annotations(base) if name not in base.model_fields]
    own += [name for name in ("needs", "frozen_texts") if hasattr(base, name) and name not in own]
    shared = [f"`{name}`" for name in base.model_fields]
    methods = [
        f"`{name}`"
        for name, value in vars(base).items()
        if not name.startswith("_") and isinstance(value, property | classmethod | type(config_of))
    ]
    rows = [
        ("class variables", ", ".join(f"`{name}`" for name in dict.fromkeys(own))),
        ("options that every one has", ", ".join(shared)),
        ("methods and properties to override", ", ".join(methods)),
    ]
    return "".join(f"- {what}: {which}\n" for what, which in rows if which)


def page() -> str:
    """The text of the page."""
    text = HEAD
    for module, what in PUBLIC.items():
        text += f"| `{module}` | {what} | {', '.join(f'`{name}`' for name in names_of(module))} |\n"
    for kind, base in KINDS.items():
        summary = (inspect.getdoc(base) or "").partition("\n")[0]
        text += f"\n## {kind}\n\n`{base.__name__}`. {summary}\n\n{config_of(base)}"
        if kind in PROTOCOL_OF:
            protocol = getattr(interfaces, PROTOCOL_OF[kind])
            said = re.sub(r"\s+", " ", inspect.getdoc(protocol) or "")
            text += f"\n`build()` returns a `{protocol.__name__}`. {said}\n\n"
            text += f"```python\n{source_of(protocol)}\n```\n"
    text += "\n## What a step's state has\n\n```python\n"
    text += inspect.getsource(interfaces.StepState).replace("@dataclass(frozen=True)\n", "") + "```\n"
    return text


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
