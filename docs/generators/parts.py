"""The generated parts by name. A page includes `docs/.generated/NAME.md`."""

from pathlib import Path

from docs.generators.checks import checks_of_kinds
from docs.generators.commands import command_pages
from docs.generators.components import component_lists, configuration, presets_in_full
from docs.generators.formulas import code_beside_formulas
from docs.generators.messages import error_classes, messages_by_room
from docs.generators.notebooks import notebook_pages
from docs.generators.packages import example_package, packages_of_kinds
from docs.generators.presets import preset_costs

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / ".generated"


def parts() -> dict[str, str]:
    return {
        "commands": command_pages(),
        "components": component_lists(),
        "presets": presets_in_full(),
        "configuration": configuration(),
        "error-classes": error_classes(ROOT),
        "messages": messages_by_room(ROOT),
        "preset-costs": preset_costs(ROOT / "docs" / "results" / "portraits" / "results.json"),
        "checks": checks_of_kinds(),
        "packages-of-kinds": packages_of_kinds(),
        "spf-edge-loss": example_package(ROOT / "docs" / "examples" / "spf-edge-loss"),
        "spf-otsu-region": example_package(ROOT / "docs" / "examples" / "spf-otsu-region"),
        **code_beside_formulas(ROOT),
        **notebook_pages(ROOT / "docs" / "examples"),
    }
