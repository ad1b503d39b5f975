"""spf from Python: each function does what the command of its name does.

```python
import spf

run = spf.train("photos", backbone="mini", preset="spf", steps=250)
spf.sample(run, "a portrait of a woman", target="wearing a hat", compare=True)
```

Importing the package imports no torch; the functions import what they need when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spf.exporting import Exported, export
    from spf.loading import load_plugins
    from spf.measuring import Evaluation, Scores, evaluate, results_table, score
    from spf.runs import Run, open_run, open_runs
    from spf.sampling import Grid, sample
    from spf.showing import Table
    from spf.training import resume, train
    from spf_core.errors import SpfError

_MODULES = {
    "Evaluation": "spf.measuring",
    "Exported": "spf.exporting",
    "Grid": "spf.sampling",
    "Run": "spf.runs",
    "Scores": "spf.measuring",
    "SpfError": "spf_core.errors",
    "Table": "spf.showing",
    "evaluate": "spf.measuring",
    "export": "spf.exporting",
    "load_plugins": "spf.loading",
    "open_run": "spf.runs",
    "open_runs": "spf.runs",
    "results_table": "spf.measuring",
    "resume": "spf.training",
    "sample": "spf.sampling",
    "score": "spf.measuring",
    "train": "spf.training",
}

__all__ = [
    "Evaluation",
    "Exported",
    "Grid",
    "Run",
    "Scores",
    "SpfError",
    "Table",
    "evaluate",
    "export",
    "load_plugins",
    "open_run",
    "open_runs",
    "results_table",
    "resume",
    "sample",
    "score",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'spf' has no attribute '{name}'; it has {', '.join(__all__)}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
