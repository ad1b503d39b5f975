"""Networks of this project's own code: upstream's names stay, what is not needed is left out."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor, nn

from spf_lab.metrics.convert.files import matched, need_sources, read_upstream, write_folder
from spf_lab.metrics.networks.lpips import Lpips, Trunk


def convert_lpips(sources: Sequence[Path], out: Path, network: Trunk) -> None:
    """The trunk's file and the file of the heads into one."""
    need_sources(sources, "the trunk (alexnet or vgg16)", f"the heads ({network}.pth)")
    _convert({**read_upstream(sources[0]), **read_upstream(sources[1])}, Lpips(network), sources, out)


def convert_inception(sources: Sequence[Path], out: Path) -> None:
    """`pt_inception-2015-12-05`, without its classifier."""
    from spf_lab.metrics.networks.inception import Inception

    need_sources(sources, "pt_inception-2015-12-05")
    _convert(read_upstream(sources[0]), Inception(), sources, out)


def convert_arcface(sources: Sequence[Path], out: Path) -> None:
    """An IResNet's state dict of ArcFace's PyTorch code."""
    from spf_lab.metrics.networks.iresnet import built

    need_sources(sources, "the backbone's state dict")
    tensors = read_upstream(sources[0])
    _convert(tensors, built(tensors, sources[0]), sources, out)


def _convert(tensors: Mapping[str, Tensor], module: nn.Module, sources: Sequence[Path], out: Path) -> None:
    wanted = {name: value for name, value in module.state_dict().items() if "num_batches" not in name}
    write_folder(out, matched(tensors, wanted, f"'{sources[0]}'"), sources)
