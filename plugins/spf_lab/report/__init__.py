"""One self-contained HTML page of a run, a benchmark or a demo."""
