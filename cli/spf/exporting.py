"""`spf.export`: the weights of a run, for other programs."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from spf.loading import refuse_existing, refuse_filled
from spf.runs import Run, open_run
from spf.showing import Table, lines_html
from spf_core.errors import ConfigError, short

if TYPE_CHECKING:
    from spf_core.export.architecture import Architecture


@dataclass(frozen=True)
class Exported:
    """What was written to `path`, and how the programs that open it read it.

    `note` says how the tuned model has to be applied where it takes over late. `faults` say which program
    reads the file wrongly, and what to do there. The table is None for a folder, and for a format of
    a plugin that none of them is known to read.
    """

    path: Path
    note: str = ""
    table: Table | None = None
    faults: tuple[str, ...] = ()
    predicts: str = ""  # what a checkpoint's model predicts

    @property
    def _lines(self) -> list[str]:
        return [f"wrote {self.path}", *filter(None, [self.note, self.predicts]), *self.faults]

    def __str__(self) -> str:
        return "\n".join([*self._lines, *([str(self.table)] if self.table else [])])

    def _repr_html_(self) -> str:
        return lines_html(self._lines) + (self.table._repr_html_() if self.table else "")


def export(
    run: str | Path | Run,
    out: str | Path,
    *,
    format: str = "kohya",
    precision: str = "fp32",
    merge: bool = False,
    strength: float | None = None,
    evaluation: str | Path | None = None,
    base_license: str | None = None,
    overwrite: bool = False,
) -> Exported:
    """Write the weights of a run for other programs, as `spf export` does.

    Args:
        run: A finished run, or its folder.
        out: The file, or the new folder, to write.
        format: `kohya` is a LoRA file that every client opens, `diffusers` a folder with a model card, and
            `checkpoint` the whole model in one file. Plugins may add others.
        precision: Number format of the written weights: `fp32`, `fp16` or `bf16`.
        merge: Merge the LoRA into the model's weights.
        strength: Strength of the adapter in the merged weights, by default 1.
        evaluation: The folder of an evaluation, for the model card.
        base_license: Licence of the base model, as in `creativeml-openrail-m`.
        overwrite: Replace the file if it exists.

    Raises:
        spf_core.errors.SpfError: Of one line, which names the value, the place and the way out.
    """
    from spf_core.export.architecture import architecture_of
    from spf_core.export.companions import companion_paths
    from spf_core.export.run import DTYPES, Request
    from spf_core.export.run import export as write

    opened, place = open_run(run), Path(out)
    if precision not in DTYPES:
        raise ConfigError(f"precision {short(precision)}: choose one of {', '.join(DTYPES)}")
    chosen = opened.plugins.get(format, "exporter")
    if getattr(chosen, "folder", False):
        refuse_filled(place, "choose another --out")
    else:
        for file in (place, *(companion_paths(place) if format == "kohya" else ())):
            refuse_existing(file, overwrite)
    measured = None if evaluation is None else Path(evaluation)
    request = Request(format, place, merge, strength, precision, measured, base_license)
    finished = write(opened.path, opened.plugins, request)
    facts = finished.facts
    note = f"the tuned model is made to act {facts.handover_told}; the card of --format diffusers shows how"
    note = note if facts.handover < 1 else ""
    if not getattr(chosen, "for_clients", False):
        return Exported(place, note)
    found = readings_of(place, architecture_of(finished.opened.backbone))
    return Exported(place, note, found.table, found.faults, found.predicts)


@dataclass(frozen=True)
class Readings:
    """How clients read a LoRA file or a checkpoint: as a table, and a line for each fault.

    `predicts` says what a checkpoint predicts; it is empty for a LoRA file.
    """

    table: Table
    faults: tuple[str, ...]
    predicts: str = ""


def readings_of(file: Path, base: "Architecture | None" = None) -> Readings:
    """How clients read the file. `base` is needed for a LoRA file that names no published base model."""
    from spf_core.export.prediction import is_checkpoint

    return _of_checkpoint(file) if is_checkpoint(file) else _of_lora(file, base)


def _of_lora(file: Path, base: "Architecture | None") -> Readings:
    """Which layers each client finds, and whether it applies them at the file's own scale."""
    from spf_core.export.check import check_file

    rows, faults = [], []
    for each in check_file(file, base):
        counts = ("-",) * 3 if each.absent else (each.matched, len(each.lost), len(each.wrong))
        rows.append((each.client, *map(str, counts), each.absent))
        for what, names in (("loses", each.lost), ("scales wrongly", each.wrong)):
            if names:
                more = f" and {len(names) - 1} more" if len(names) > 1 else ""
                faults.append(f"{each.client} {what} '{names[0]}'{more}")
    columns = ("client", "matched", "lost", "wrong scale", "")
    return Readings(Table(f"layers of {file} that clients read", columns, tuple(rows)), tuple(faults))


def _of_checkpoint(file: Path) -> Readings:
    """The prediction type that each client assumes without further settings."""
    from spf_core.export.prediction import check_checkpoint

    meant, readings = check_checkpoint(file)
    rows = tuple((each.client, "-" if each.absent else f"{each.found}", each.absent) for each in readings)
    faults = tuple(
        f"{each.client} assumes {each.found};  {each.way_out}" for each in readings if each.way_out
    )
    table = Table("prediction type that each client assumes", ("client", "prediction", ""), rows)
    return Readings(table, faults, f"{file} predicts {meant}")
