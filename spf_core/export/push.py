"""`spf push`: an export of a run in a repository of the hub; nothing is sent unless somebody asks."""

import tempfile
from contextlib import suppress
from pathlib import Path

from huggingface_hub import HfApi, constants

from spf_core.errors import RunError
from spf_core.export.run import Request, UnknownNamesError, export
from spf_core.interfaces import LowRank
from spf_core.plugins.building import built
from spf_core.plugins.configs import ExporterConfig
from spf_core.plugins.discovery import Plugins
from spf_core.runs.run import saved_config


def prepare(run: Path, plugins: Plugins, folder: Path, evaluation: Path | None, licence: str | None) -> None:
    """Fill `folder` with what a repository holds: every format that is made for it and can hold the run."""
    lora = isinstance(built(saved_config(run, plugins).adapter), LowRank)
    exporters = [entry.config for entry in plugins.of_kind("exporter").values()]
    made = [each for each in exporters if issubclass(each, ExporterConfig) and each.on_hub]
    for config in sorted(made, key=lambda each: not each.folder):  # a folder must be new
        if lora or "model" in config.holds:
            out = folder if config.folder else folder / f"{run.resolve().name}.safetensors"
            shown = evaluation if config.folder else None
            with suppress(UnknownNamesError):  # a repository holds the formats that its model has
                export(
                    run,
                    plugins,
                    Request(config.name, out, evaluation=shown, licence=licence, companions=False),
                )


def push(
    run: Path,
    repository: str,
    plugins: Plugins,
    *,
    private: bool = True,
    evaluation: Path | None = None,
    licence: str | None = None,
) -> str:
    """Create the repository where it is missing and upload the export; its address.

    An existing repository keeps its visibility. RunError where the hub cannot be reached or refuses.
    """
    refuse_offline(repository)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "export"
        prepare(run, plugins, folder, evaluation, licence)
        api = HfApi(library_name="spf")
        try:
            url = api.create_repo(repository, private=private, exist_ok=True)
            message = f"Upload {run.resolve().name} with spf"
            api.upload_folder(repo_id=url.repo_id, folder_path=folder, commit_message=message)
        except Exception as error:  # the hub's errors have no common base
            reason = " ".join(str(error).split())[:200]
            raise RunError(
                f"'{repository}' was not uploaded ({type(error).__name__}: {reason}); "
                "check its name, the network, and who is logged in: hf auth whoami"
            ) from None
    return str(url)


def refuse_offline(repository: str) -> None:
    """RunError when the hub's client is told to stay offline."""
    if constants.HF_HUB_OFFLINE:
        raise RunError(f"'{repository}' was not uploaded: HF_HUB_OFFLINE is set; unset it and push again")
