"""Tables of evaluation results, read from the `results.json` that an evaluation wrote."""

from collections.abc import Mapping
from pathlib import Path

from rich.table import Table

from spf_cli.render import table
from spf_core.errors import RunError
from spf_lab.evaluation.readout import Results, result_rows


def read_results(folder: Path) -> Results:
    """The content of `results.json` in an evaluation's folder; RunError when it is damaged."""
    from spf_lab.evaluation.saved import RESULTS_FILE
    from spf_lab.evaluation.saved import read_results as read

    try:
        return read(folder)
    except ValueError as error:
        raise RunError(
            f"'{folder / RESULTS_FILE}' is damaged ({error}); delete that folder and evaluate again"
        ) from None


def results_table(results: Mapping[str, Results]) -> Table:
    """Runs side by side, values with their 95 % confidence intervals."""
    from spf_lab.evaluation.metrics import comparable

    first = next(iter(results.values()))
    size = f"{first['n_prompts']} prompts x {first['n_seeds']} seeds"
    title = f"{first['suite_label']}, {first['target']}: {size}, 95 % intervals"
    labels = list(dict.fromkeys(each["purity"]["label"] for each in results.values() if "purity" in each))
    title += f"; SPI of {' and of '.join(labels)}" if labels else ""
    title += " (not comparable)" if any(not comparable(first, each) for each in results.values()) else ""
    return table(title, ("measure", *results, "meaning"), result_rows(results))
