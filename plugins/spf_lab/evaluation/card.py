"""The section of a model card that says what an evaluation measured."""

from pathlib import Path

from spf_core.errors import RunError
from spf_core.runs.checkpoint import ADAPTER_FILE
from spf_core.runs.run import file_hash
from spf_lab.evaluation.readout import result_rows
from spf_lab.evaluation.saved import RESULTS_FILE, Json, read_results


def measured(evaluation: Path, run: Path) -> str | None:
    """The section about a folder of `spf evaluate`; None for another folder.

    RunError when the results are damaged, or those of other weights.
    """
    file = evaluation / RESULTS_FILE
    if not file.is_file():
        return None
    try:
        results = read_results(evaluation)
    except (OSError, ValueError) as error:
        raise RunError(f"'{file}' is damaged ({error}); evaluate the run again") from None
    if results["adapter_hash"] != file_hash(run / ADAPTER_FILE):
        raise RunError(f"'{evaluation}' evaluates other weights than '{run}'; name its own with --evaluation")
    return _section(results)


def _section(results: Json) -> str:
    rows = [
        f"| {name.strip()} | {value} | {meaning} |" for name, value, meaning in result_rows({"": results})
    ]
    return "\n".join(
        [
            "## Evaluation\n",
            f"On the **{results['suite_label']}**, target `{results['target']}`: {results['n_prompts']} "
            f"unseen prompts x {results['n_seeds']} seeds, sampled by spf; 95 % intervals over prompts.\n",
            "| measure | value | meaning |",
            "|---|---|---|",
            *rows,
            "",
        ]
    )
