"""What each preset costs and keeps, from the records of the published benchmark."""

import json
from pathlib import Path
from typing import Any

from docs.generators.markdown import table
from spf_core.plugins.discovery import load_plugins

DEVICES = {"cpu": "CPU", "cuda": "GPU"}
HEAD = ("preset", "SPS ↑", "hit rate ↑", "1 - SPI ↑", "REC ↑", "time of a run", "peak memory", "what it is")


def preset_costs(results: Path) -> str:
    """A row for each preset that the benchmark ran on every target, as it stands, by falling SPS."""
    means: dict[str, Any] = json.loads(results.read_text(encoding="utf-8"))["mean_over_targets"]
    entries = load_plugins().of_kind("preset")
    measured = {name: means[name] for name in entries if name in means}
    rows = [
        (
            f"[`{name}`](../reference/components.md#preset-{name})",
            f"{row['sps']['value']:.0f}",
            f"{row['hit_rate']['value']:.0%}".replace("%", "&nbsp;%"),
            f"{1 - row['spi']['value']:.2f}",
            f"{row['rec']['value']:.0f}",
            f"{row['seconds_per_run'] / 60:.1f}&nbsp;min, {DEVICES[row['device']]}",
            f"{row['peak_memory_mib'] / 1024:.1f}&nbsp;GiB",
            entries[name].summary.rstrip("."),
        )
        for name, row in sorted(measured.items(), key=lambda item: -item[1]["sps"]["value"])
    ]
    return table(HEAD, rows)
