"""AdaLoRA: ranks shrink to their budget, factors are pulled towards orthogonal, resuming goes on exactly."""

from pathlib import Path
from typing import Any

import pytest
import torch
from steps import batch_of, config_of, parts_of

from spf_core.dual_path.parts import Parts
from spf_core.dual_path.step import dual_path_step
from spf_core.errors import ConfigError
from spf_core.training.resume_state import load_states, stateful_parts, states_of

STEPS = 20


def adalora(folder: Path) -> Parts:
    options = ("adapter.init_rank=4", "adapter.target_rank=2", "adapter.settle=0.2")
    parts = parts_of(config_of(folder, *options, preset="adalora"), trained=False)
    parts.adapter.start(STEPS)  # type: ignore[attr-defined]
    return parts


def train(parts: Parts, first: int, last: int, optimizer: Any) -> None:
    for step in range(first, last):
        generator = torch.Generator().manual_seed(step)
        dual_path_step(parts, batch_of(parts), step / STEPS, generator=generator)[1].total.backward()
        optimizer.step()
        parts.adapter.after_step(step + 1)  # type: ignore[attr-defined]
        optimizer.zero_grad()


def test_ranks_shrink_to_the_budget_and_differ_between_layers(tiny_folder: Path) -> None:
    parts = adalora(tiny_folder)
    adapter: Any = parts.adapter
    with torch.no_grad():
        for name, parameter in adapter._parameters.items():
            if name.endswith("lora_E"):
                parameter.fill_(0.01)
    assert set(adapter.ranks().values()) == {4}
    train(parts, 0, STEPS, torch.optim.AdamW(adapter.parameters(), lr=1e-2))
    ranks = adapter.ranks()
    assert sum(ranks.values()) <= 2 * len(ranks)
    assert len(set(ranks.values())) > 1


def test_orthogonality_falls_when_it_is_trained(tiny_folder: Path) -> None:
    parts = adalora(tiny_folder)
    adapter: Any = parts.adapter
    before = adapter.orthogonality().item()
    optimizer = torch.optim.Adam(adapter.parameters(), lr=1e-2)
    for _ in range(30):
        adapter.orthogonality().backward()
        optimizer.step()
        optimizer.zero_grad()
    assert adapter.orthogonality().item() < 0.5 * before


def test_the_budget_goes_on_from_a_checkpoint(tiny_folder: Path) -> None:
    whole, first = adalora(tiny_folder), adalora(tiny_folder)
    train(whole, 0, 14, torch.optim.SGD(whole.adapter.parameters(), lr=0.1))
    train(first, 0, 7, torch.optim.SGD(first.adapter.parameters(), lr=0.1))
    second = adalora(tiny_folder)
    second.adapter.load_state_dict(first.adapter.state_dict())
    load_states(stateful_parts(second), states_of(stateful_parts(first)))
    train(second, 7, 14, torch.optim.SGD(second.adapter.parameters(), lr=0.1))
    expected, found = whole.adapter.state_dict(), second.adapter.state_dict()
    assert all(torch.equal(expected[name], found[name]) for name in expected)


@pytest.mark.parametrize("steps", [1, 2])
def test_a_run_too_short_to_drop_ranks_is_refused(tiny_folder: Path, steps: int) -> None:
    parts = parts_of(config_of(tiny_folder, preset="adalora"), trained=False)
    with pytest.raises(ConfigError, match="train longer or choose lora-adapter"):
        parts.adapter.start(steps)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("assignment", "message"),
    [("adapter.target_rank=12", "must lie below init_rank=12"), ("adapter.settle=0.95", "leave no time")],
)
def test_impossible_budgets_are_refused(assignment: str, message: str, tiny_folder: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        config_of(tiny_folder, assignment, preset="adalora")
