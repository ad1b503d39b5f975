"""The code that computes each formula of the page on the method, as blocks that open on a click."""

import ast
from pathlib import Path

BESIDE = {
    "dual-path": ("spf_core/dual_path/step.py", ("run_response", "run_reference")),
    "sfcm-v1": (
        "plugins/spf_plugins/sfcm/v1.py",
        ("noise_difference", "unrelatedness", "rescaled", "SfcmV1Map"),
    ),
    "relevance": ("spf_core/preparation/relevance.py", ("integrated_gradients", "relevance")),
    "region": ("spf_core/preparation/counterfactuals.py", ("target_region",)),
    "between": ("spf_core/dual_path/noising.py", ("partly_with_target",)),
    "denoising": ("plugins/spf_plugins/losses/denoising.py", ("DenoisingLoss",)),
    "text-consistency": ("plugins/spf_plugins/losses/alignment.py", ("TextConsistencyLoss",)),
    "fine-grained": ("plugins/spf_plugins/losses/alignment.py", ("FineGrainedLoss",)),
    "clip-region": ("plugins/spf_plugins/response/clip.py", ("ClipRegionEnhancement",)),
    "output-alignment": ("plugins/spf_plugins/losses/alignment.py", ("OutputAlignmentLoss",)),
    "handover": ("spf_core/sampling/handover.py", ("calibrate_handover",)),
}


def code_beside_formulas(root: Path) -> dict[str, str]:
    """A part `code-NAME` for each formula."""
    return {f"code-{name}": _block(root, file, names) for name, (file, names) in BESIDE.items()}


def _block(root: Path, file: str, names: tuple[str, ...]) -> str:
    source = (root / file).read_text(encoding="utf-8")
    defined = {
        node.name: node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef | ast.ClassDef)
    }
    lines = source.splitlines()
    pieces = ["\n".join(lines[_first(defined[name]) - 1 : defined[name].end_lineno]) for name in names]
    block = "\n".join(f"    {line}".rstrip() for line in "\n\n\n".join(pieces).splitlines())
    return f'??? example "Code: `{file}`"\n    ```python\n{block}\n    ```\n'


def _first(node: ast.FunctionDef | ast.ClassDef) -> int:
    return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
