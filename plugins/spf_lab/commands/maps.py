"""`spf maps`: how well control maps find the target's true region."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spf_cli.options import LAST_SEED, OUTPUT, Device, DeviceName, PluginFiles, RunFolder
from spf_core.errors import ConfigError
from spf_core.utils.atomic import emptied_on_failure
from spf_core.utils.paths import refuse_lost

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from spf_core.data import Row
    from spf_lab.evaluation.maps import MapQuality


def maps(
    run: RunFolder,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="New folder for the results.", rich_help_panel=OUTPUT)
    ],
    chosen: Annotated[
        list[str] | None,
        typer.Option(
            "--map", metavar="NAME", help="Control map to compare. Repeatable.", show_default="all installed"
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Folder of images with masks.", show_default="the run's training data"
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=LAST_SEED, help="Seed of the noise.")] = 0,
    plugin: PluginFiles = None,
    device: Device = DeviceName.AUTO,
) -> None:
    """Compare control maps of a run with the masks of a folder, at five noise levels.

    The command writes maps.json, and maps.png with the first images, their true regions and all maps.
    """
    from spf.bars import progress_bars
    from spf.loading import refuse_filled, run_config
    from spf_cli.render import show, table
    from spf_core.data import read_folder
    from spf_core.runs.run import open_run
    from spf_core.sampling.sampler import save_png
    from spf_lab.evaluation.maps import map_quality

    refuse_filled(out, "choose another --out")
    config, plugins = run_config(run, plugin or ())
    names = chosen or [name for name in plugins.of_kind("control-map") if name not in {"mask", "uniform"}]
    configs: dict[str, Any] = {name: plugins.get(name, "control-map")() for name in names}
    folder = data or (Path(config.data) if config.data else None)
    if folder is None:
        raise ConfigError("the run records no training folder; give one with --data DIR")
    if data is None:
        refuse_lost(config.data, "data")
    rows = read_folder(folder, config.dataset, None if data else config.reader)
    opened = open_run(run, plugins, device=device)
    reference: Any = config.reference or plugins.get("adapter-off", "reference")()
    with progress_bars() as progress:
        found, truth = map_quality(opened, configs, rows, reference, seed=seed, progress=progress)
    with emptied_on_failure(out):
        text = json.dumps(_json(found, folder, len(rows)), indent=2)
        (out / "maps.json").write_text(text, encoding="utf-8")
        picture = _picture(found, truth, rows, opened.backbone.image_size)
        save_png(picture, out / "maps.png", {"run": run.resolve().name})
    title = f"{len(rows)} images, mean over noise levels, 95 % intervals"
    columns = ("map", "average precision", "by chance", "IoU at 0.5")
    show(table(title, columns, [_row(name, each) for name, each in found.items()]), f"results in {out}")


def _row(name: str, quality: "MapQuality") -> tuple[str, ...]:
    from spf_lab.evaluation.readout import interval

    values = (quality.precision, quality.chance, quality.iou)
    return name, *(interval(value.to_json()) for value in values)


def _json(found: "Mapping[str, MapQuality]", folder: Path, images: int) -> dict[str, Any]:
    return {
        "data": folder.name,
        "images": images,
        "maps": {
            name: {
                "average_precision": each.precision.to_json(),
                "chance": each.chance.to_json(),
                "iou": each.iou.to_json(),
                "average_precision_by_level": {f"{level:g}": value for level, value in each.by_level.items()},
            }
            for name, each in found.items()
        },
    }


def _picture(found: "Mapping[str, MapQuality]", truth: "Tensor", rows: "Sequence[Row]", size: int) -> "Image":
    """Images, true regions, and every map at the middle level; dark is 0, yellow is 1."""
    from PIL import Image

    from spf_core.data import load_image
    from spf_core.sampling.sampler import comparison_grid
    from spf_core.training.samples import heat_images
    from spf_lab.evaluation.maps import LEVELS

    first = next(iter(found.values())).examples.shape[1]
    middle = len(LEVELS) // 2
    shown = {"image": [Image.fromarray(load_image(row, size)) for row in rows[:first]]}
    shown["true region"] = heat_images(truth[:first], size)
    for name, each in found.items():
        shown[f"{name}, t={LEVELS[middle]:g}"] = heat_images(each.examples[middle], size)
    return comparison_grid(shown, [row.image.name for row in rows[:first]])
