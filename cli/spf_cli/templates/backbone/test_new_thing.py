"""The backbone keeps the contract of its kind."""

from spf_core.plugins import UserPath
from spf_core.testing import check_backbone, tiny_folder

from spf_cli.templates.backbone import NewThing


def test_it_keeps_the_contract_of_a_backbone() -> None:
    """The checks of `spf plugins check` on a tiny model: training, resuming and sampling among them."""
    check_backbone(NewThing(path=UserPath(str(tiny_folder("sd15")))))
