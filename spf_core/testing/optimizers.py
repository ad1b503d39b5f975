"""Checks of optimizers, on a sum of squares and in a training."""

import torch
from torch import Tensor, nn

from spf_core.plugins.configs import OptimizerConfig
from spf_core.runs.checkpoint import Checkpoint, read_checkpoint, save_checkpoint
from spf_core.testing.subject import Check, Failure, Subject
from spf_core.training.optimizers import make_optimizer, state_of

SHAPES = ((256, 512), (16,))
STEPS = 5
SLACK, TOLERANCE = 4096, 0.1  # bytes and share by which an estimate of memory may be off


def lowers_a_loss(subject: Subject) -> None:
    """Five steps at the peak learning rate lower a sum of squares."""
    parameters = _parameters()
    optimizer = make_optimizer(_options(subject), parameters)
    before = float(_loss(parameters).detach())
    for _ in range(STEPS):
        _step(optimizer, parameters)
    after = float(_loss(parameters).detach())
    if not after < before:
        raise Failure(
            f"{STEPS} steps take a sum of squares from {before:.6g} to {after:.6g}; step against the gradient"
        )


def changes_what_it_was_given(subject: Subject) -> None:
    """A weight that it was not given, and one without gradient, stay as they are."""
    parameters, (other, *_) = _parameters(), _parameters()
    still = nn.Parameter(torch.ones(3))
    optimizer = make_optimizer(_options(subject), [*parameters, still])
    other_before = other.detach().clone()
    for _ in range(2):
        _loss([other]).backward()  # type: ignore[no-untyped-call]
        _step(optimizer, parameters)
    if not torch.equal(other, other_before):
        raise Failure("it changes a weight that it was not given; change those of its groups alone")
    if not torch.equal(still, torch.ones(3)):
        raise Failure("it changes a weight that has no gradient; skip it")


def follows_the_schedule(subject: Subject) -> None:
    """A group whose learning rate is 0 stays; one with a learning rate moves."""
    options = _options(subject)
    both = options.model_copy(update={"text_encoder_learning_rate": options.learning_rate})
    moved, kept = _parameters()
    optimizer = make_optimizer(both, [moved, kept], [kept])
    before = [moved.detach().clone(), kept.detach().clone()]
    optimizer.param_groups[1]["lr"] = 0.0
    _step(optimizer, [moved, kept])
    if torch.equal(moved, before[0]):
        raise Failure("a step at the peak learning rate changes nothing")
    if not torch.equal(kept, before[1]):
        raise Failure(
            "a step at a learning rate of 0 changes weights; read group['lr'] in every step, as the schedule "
            "changes it, and scale the weight decay by it"
        )


def goes_on(subject: Subject) -> None:
    """After a checkpoint is written and read, the next step is the same to the bit."""
    options, parameters = _options(subject), _parameters()
    optimizer = make_optimizer(options, parameters)
    for _ in range(2):
        _step(optimizer, parameters)
    state = Checkpoint(
        step=2,
        adapter={"weight": parameters[0].detach()},
        metadata={"spf_step": "2"},
        optimizer=state_of(options, optimizer),
        scheduler={"last_epoch": 2},
        scaler=None,
        parts={},
    )
    folder = subject.folder / "step-000002"
    save_checkpoint(folder, state)
    again = [nn.Parameter(parameter.detach().clone()) for parameter in parameters]
    other = make_optimizer(options, again)
    other.load_state_dict(read_checkpoint(folder).optimizer)
    _step(optimizer, parameters)
    _step(other, again)
    if not all(map(torch.equal, parameters, again)):
        raise Failure(
            "after its state is saved and loaded the next step differs; keep what changes in self.state, as "
            "tensors and numbers of a parameter, or in self.param_groups, as plain values"
        )


def says_what_it_keeps(subject: Subject) -> None:
    """`state_bytes` tells what the optimizer keeps of a matrix."""
    parameter = _parameters()[:1]
    options = _options(subject)
    optimizer = make_optimizer(options, parameter)
    _step(optimizer, parameter)
    kept = sum(
        value.numel() * value.element_size()
        for values in optimizer.state.values()
        for value in values.values()
        if isinstance(value, Tensor)
    )
    said = options.state_bytes(SHAPES[0])
    if abs(kept - said) > TOLERANCE * said + SLACK:
        raise Failure(
            f"it keeps {kept} bytes of a tensor {list(SHAPES[0])}, and state_bytes says {said}; define "
            "state_bytes(self, shape) in the config, as memory estimates and --profile read it"
        )


def _options(subject: Subject) -> OptimizerConfig:
    assert isinstance(subject.config, OptimizerConfig), "of that kind"
    return subject.config


def _parameters() -> list[nn.Parameter]:
    """The same weights in every call."""
    generator = torch.Generator().manual_seed(0)
    return [nn.Parameter(torch.randn(shape, generator=generator)) for shape in SHAPES]


def _loss(parameters: list[nn.Parameter]) -> Tensor:
    """In double precision, as the first steps of some optimizers are tiny."""
    return torch.stack([parameter.double().pow(2).sum() for parameter in parameters]).sum()


def _step(optimizer: torch.optim.Optimizer, parameters: list[nn.Parameter]) -> None:
    optimizer.zero_grad()
    _loss(parameters).backward()  # type: ignore[no-untyped-call]
    optimizer.step()


OPTIMIZERS: tuple[tuple[str, Check], ...] = (
    ("lowers a loss in five steps", lowers_a_loss),
    ("changes the weights that it was given, and no others", changes_what_it_was_given),
    ("takes its learning rate from the schedule", follows_the_schedule),
    ("goes on from a checkpoint to the same bits", goes_on),
    ("says what it keeps in memory", says_what_it_keeps),
)
