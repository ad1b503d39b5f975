"""Tables of evaluation results, read from the `results.json` that an evaluation wrote."""

from collections.abc import Mapping, Sequence
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


def results_table(results: Mapping[str, Results], failed: Sequence[str] = ()) -> Table:
    """Runs side by side, values with their 95 % confidence intervals; `failed` are names without values."""
    first = next(iter(results.values()))
    size = f"{first['n_prompts']} prompts x {first['n_seeds']} seeds"
    title = f"{first['suite_label']}, {first['target']}: {size}, 95 % intervals"
    title += f"; SPI of {first['purity']['label']}" if "purity" in first else ""
    shown: dict[str, Results] = {**results, **{name: {} for name in failed}}
    rows = result_rows(shown)
    if failed:
        ends = ("failed" if name in failed else "scored" for name in shown)
        rows.insert(0, ("outcome", *ends, "whether the file could be scored"))
    return table(title, ("measure", *shown, "meaning"), rows)
