"""What terms do on `mini` after the first stage: how strong each gradient is, and where enhancements lead.

    python tests/bench/terms.py [TARGET ...]

Both tables are printed for each target of the embedded portraits: 60 biased training pictures, preset
`spf-paper` at the beginning of its second stage. A gradient is that of one term with the preset's weight, in
the adapter's parameters, beside that of the denoising loss. An enhancement is a step of a small, fixed length
against its gradient in the clean estimate of each row. What is printed is how much nearer CLIP then finds the
picture to the target's text, and to what the training pictures share beside the target.
"""

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table
from torch import Tensor

from spf_core.config.loading import load_run_config
from spf_core.config.run_config import RunConfig
from spf_core.dual_path.parts import Parts, build_parts
from spf_core.dual_path.step import dual_path_step
from spf_core.interfaces import StepState
from spf_core.interfaces.types import scatter_like
from spf_core.plugins.building import built
from spf_core.plugins.discovery import Plugins, load_plugins
from spf_core.preparation.rows import Rows, encoded_rows, prepared_rows, rows_of
from spf_core.utils.pixels import to_pixels
from spf_core.utils.progress import silent

BIAS = {"background": "teal", "clothes": "blazer", "expression": "laughing"}
COUNT, BATCHES, ROWS = 60, 12, 12
STEP = 0.005  # length of a step, as a share of the clean estimate's: small enough to follow the gradient
STAGE_2 = 0.4


def main() -> None:
    """Print both tables for each target."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", default=["sunglasses", "hat", "eyepatch"])
    parser.add_argument("--preset", default="spf-paper")
    options = parser.parse_args()
    torch.set_num_threads(1)
    plugins, console = load_plugins(), Console(width=120)
    for target in options.targets:
        with tempfile.TemporaryDirectory() as folder:
            bench = Bench(plugins, target, options.preset, Path(folder))
            bench.train_stage_1()
            console.print(bench.gradients())
            console.print(bench.enhancements())


class Bench:
    """A run of one target, and what is measured of it."""

    def __init__(self, plugins: Plugins, target: str, preset: str, folder: Path) -> None:
        self.plugins, self.target, self.preset = plugins, target, preset
        self.suite = built(plugins.get("portraits", "suite"))
        self.suite.write_training_set(folder / "data", target=target, count=COUNT, bias=BIAS, seed=0, size=64)
        self.config = self._config(folder / "data")
        torch.manual_seed(0)
        self.backbone, self.adapter = built(self.config.backbone), built(self.config.adapter)
        self.adapter.attach(self.backbone)
        self.parts: Parts = build_parts(self.config.step, self.backbone, self.adapter)
        everything = self._config(folder / "data", "response=clip-change")  # it reads embedded images
        rows = encoded_rows(self.backbone, rows_of(everything.preparation), everything.preparation, silent)
        self.rows: Rows = prepared_rows(self.backbone, rows, everything.preparation, silent)

    def _config(self, data: Path, *assignments: str) -> RunConfig:
        overrides = {"data": str(data)}
        return load_run_config(self.plugins, preset=self.preset, overrides=overrides, assignments=assignments)

    def train_stage_1(self) -> None:
        """The first stage of the preset, without its schedule's end."""
        train, optimizer = self.config.train, self.config.optimizer
        parameters = list(self.adapter.parameters())
        adamw = torch.optim.AdamW(parameters, lr=optimizer.learning_rate, weight_decay=0)
        generator = torch.Generator().manual_seed(0)
        for _ in range(round(STAGE_2 * train.steps)):
            state = self._step(train.batch_size, 0.0, generator)
            state[1].total.backward()
            torch.nn.utils.clip_grad_norm_(parameters, optimizer.clip_norm)
            adamw.step()
            adamw.zero_grad()

    def gradients(self) -> Table:
        """The gradient of each weighted term in the adapter's parameters, in the mean over batches."""
        found: dict[str, list[tuple[float, float]]] = {}
        generator = torch.Generator().manual_seed(1)
        for _ in range(BATCHES):
            _, report = self._step(ROWS, STAGE_2, generator)
            plain = self._gradient(report.weighted["denoising"])
            for name, value in report.weighted.items():
                gradient = self._gradient(value)
                cosine = float(F.cosine_similarity(gradient, plain, dim=0))
                found.setdefault(name, []).append((float(gradient.norm()), cosine))
        means = {name: np.asarray(values).mean(0) for name, values in found.items()}
        table = Table(title=f"{self.target}: gradients of {self.preset}, N = {BATCHES} batches of {ROWS}")
        for column in ("term", "norm", "share of denoising", "cosine with denoising"):
            table.add_column(column, justify="left" if column == "term" else "right")
        for name, (norm, cosine) in means.items():
            share = norm / means["denoising"][0]
            table.add_row(name, f"{norm:.4f}", f"{share:.2f}", f"{cosine:.2f}")
        return table

    def _gradient(self, value: Tensor) -> Tensor:
        parameters = list(self.adapter.parameters())
        found = torch.autograd.grad(value, parameters, retain_graph=True, allow_unused=True)
        return torch.cat(
            [
                torch.zeros_like(p).flatten() if g is None else g.flatten()
                for p, g in zip(parameters, found, strict=True)
            ]
        )

    def enhancements(self) -> Table:
        """What a step along each enhancement's descent does to the clean estimate."""
        shared = self._shared()
        found: dict[str, list[Tensor]] = {}
        generator = torch.Generator().manual_seed(2)
        for _ in range(BATCHES):
            state, _ = self._step(ROWS, STAGE_2, generator)
            for name in sorted(self.plugins.of_kind("response")):
                found.setdefault(name, []).append(self._moved(state, name, shared))
        table = Table(title=f"{self.target}: a step along each enhancement")
        for column in ("enhancement", "N rows", "nearer to the target", "by", "nearer to the bias", "by"):
            table.add_column(column, justify="left" if column == "enhancement" else "right")
        for name, parts in found.items():
            rows_N2 = torch.cat(parts)
            cells = [cell for column in rows_N2.T for cell in _cells(column)]
            table.add_row(name, str(len(rows_N2)), *cells)
        return table

    def _moved(self, state: StepState, name: str, shared_D: Tensor) -> Tensor:
        """For each row inside the gate: how much nearer to the target's text and to the bias, N 2."""
        pred = state.response.pred_BCHW.detach().requires_grad_()
        term = built(self.plugins.get(name, "response"))
        term(replace(state, response=replace(state.response, pred_BCHW=pred))).backward()
        rows = pred.grad.flatten(1).norm(dim=1).nonzero().flatten()
        t, z_t = state.noised.timesteps_B[rows], state.noised.z_t_BCHW[rows]
        before = state.backbone.noise.clean(z_t, pred.detach()[rows], t)
        # The estimate falls as eps rises, so that descent in eps is ascent in the estimate.
        uphill = pred.grad[rows]
        length = STEP * before.flatten(1).norm(dim=1) / uphill.flatten(1).norm(dim=1)
        after = before + scatter_like(length, uphill) * uphill
        change_ND = self._embedded(after) - self._embedded(before)
        target_ND = state.batch.complete.target_embed_BD[rows]
        return torch.stack([(change_ND * target_ND).sum(1), change_ND @ shared_D], dim=1)

    @torch.no_grad()
    def _embedded(self, latents: Tensor) -> Tensor:
        return self.backbone.embed_images(self.backbone.decode(latents))

    @torch.no_grad()
    def _shared(self) -> Tensor:
        """Unit direction from other pictures of the target to the training pictures: what those share."""
        others = self.suite.positives(self.target, 128, seed=0, size=64)
        pixels = to_pixels(np.asarray(picture.convert("RGB")) for picture in others)
        seen = [self.rows.batch(range(COUNT)).latents_BCHW, self.backbone.encode_images(pixels)]
        trained, other = (self._embedded(latents).mean(0) for latents in seen)
        return F.normalize(trained - other, dim=0)

    def _step(self, size: int, progress: float, generator: torch.Generator) -> Any:
        chosen = torch.randint(len(self.rows.ids), (size,), generator=generator).tolist()
        return dual_path_step(self.parts, self.rows.batch(chosen), progress, generator=generator)


def _cells(values_N: Tensor) -> Iterator[str]:
    """The share of rows above 0, and the mean with a 95 % interval."""
    yield f"{100 * float((values_N > 0).float().mean()):.0f} %"
    yield f"{float(values_N.mean()):+.4f} ± {1.96 * float(values_N.std()) / len(values_N) ** 0.5:.4f}"


if __name__ == "__main__":
    main()
