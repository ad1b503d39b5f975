"""Running the sequences, beside other processes that do the same."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

from spf_core.config.run_config import RunConfig
from spf_core.errors import RunError
from spf_core.plugins.discovery import Plugins
from spf_core.runs.file_locks import Claim
from spf_core.runs.run import CONFIG_FILE, saved_config
from spf_core.utils.progress import Progress
from spf_lab.benchmark.folder import FolderKind, open_folder, write_data
from spf_lab.benchmark.plan import build_suite, differences
from spf_lab.benchmark.sharing import Pass, run_if_free
from spf_lab.continual.judge import find_subjects
from spf_lab.continual.plan import Stage, Stages, all_sequences, chosen_sequences, placeless, stage_config
from spf_lab.continual.spec import ContinualSpec, parse_continual
from spf_lab.continual.stage import is_complete, is_finished, run_stage

RECORD = "continual.yaml"
CONTINUAL = FolderKind(
    RECORD,
    "continual protocol",
    ("orders",),
    lambda out, preset: any(out.glob(f"sequences/{preset}/*")),
    parse_continual,
)
Watch = Callable[[Stage], AbstractContextManager[Progress]]


def run_continual(
    spec: ContinualSpec,
    out: Path,
    plugins: Plugins,
    *,
    watch: Watch,
    device: str = "auto",
    only: str | None = None,
) -> Pass[Stages]:
    """Run every sequence that is neither finished nor held by another process; `watch` follows each stage.

    A sequence that fails does not keep the others from running. Raises ConfigError and RunError before
    anything is computed when the file or the folder cannot be used, InterruptedRunError and KeyboardInterrupt
    on Ctrl-C.
    """
    chosen, suite = chosen_sequences(spec, only), build_suite(spec.as_benchmark(), plugins)
    stages = [stage for sequence in all_sequences(spec) for stage in sequence]
    configs = {stage: stage_config(spec, stage, plugins, out, device) for stage in stages}
    open_folder(out, spec, kind=CONTINUAL)
    for stage, config in configs.items():
        _refuse_other_settings(stage, config, out, plugins)
    for target in spec.targets:
        write_data(out, target, spec, suite)
    subjects = find_subjects(spec, out, plugins)

    def work(sequence: Stages, claim: Claim) -> None:
        for stage in sequence:
            if not is_finished(stage, spec, out):
                with watch(stage) as progress:
                    heard = claim.heard_by(progress)
                    run_stage(spec, stage, out, plugins, subjects, device=device, progress=heard)

    outcome = Pass[Stages]()
    for sequence in chosen:
        done = partial(is_complete, sequence, spec, out)
        if not done():
            run_if_free(sequence, sequence.folder(out), done, partial(work, sequence), outcome)
    return outcome


def missing_sequences(spec: ContinualSpec, out: Path) -> list[Stages]:
    """Sequences that are not finished."""
    return [sequence for sequence in all_sequences(spec) if not is_complete(sequence, spec, out)]


def _refuse_other_settings(stage: Stage, config: RunConfig, out: Path, plugins: Plugins) -> None:
    """RunError when the stage was begun with settings that the file and the presets no longer give."""
    run = stage.run(out)
    if not (run / CONFIG_FILE).is_file():
        return
    for key, before, now in differences(placeless(saved_config(run, plugins)), placeless(config)):
        raise RunError(
            f"'{stage.folder(out)}' was trained with {key}={before!r}, which is {now!r} now; "
            f"delete that folder to train it again, or choose another --out"
        )
