"""What `spf plugins check` finds: each fault of a component, and nothing else."""

from pathlib import Path

from command_line import Spf, verdicts

from spf_core.testing import tiny_folder


def test_nan_is_one_fault_and_no_chance(spf: Spf, tmp_path: Path) -> None:
    file = tmp_path / "nan.py"
    file.write_text(FAULTY[: FAULTY.index("class Faulty")] + NAN, encoding="utf-8")
    found = verdicts(spf("plugins", "check", file, "--quick"))
    assert found["returns a finite scalar on the device"] == "failed"
    assert found["repeats itself under a generator"] == "passed"


NAN = '''
class Undefined(LossConfig):
    """A root of a negative number."""

    name = "undefined"

    def build(self):
        return lambda state: (state.response.pred_BCHW.mean() * 0 - 1).sqrt()


@hookimpl
def spf_register(register):
    register(Undefined)
'''


def test_the_faults_of_a_component_are_shown_with_their_ways_out(spf: Spf, tmp_path: Path) -> None:
    file = tmp_path / "faulty.py"
    file.write_text(FAULTY, encoding="utf-8")
    checked = spf("plugins", "check", file, "--quick")
    assert checked.code == 2
    assert "loss 'faulty' fails 5 of its checks" in checked.err
    failed = {check for check, verdict in verdicts(checked).items() if verdict == "failed"}
    assert failed == {
        "imports no torch",
        "summary and options are described",
        "needs what it reads, and nothing else",
        "leaves the global random states alone",
        "repeats itself under a generator",
    }
    for way_out in (
        "inside build()",
        "description='...'",
        "frozenset({'queries', 'reference'})",
        "state.generator",
    ):
        assert way_out in checked.out


FAULTY = '''
"""A loss with faults."""

import torch

from spf_core.plugins import LossConfig, hookimpl


class Faulty(LossConfig):
    """Adds noise of its own to what it compares."""

    name = "faulty"
    needs = frozenset({"queries"})
    bare: float = 1.0

    def build(self):
        def term(state):
            noise = torch.randn(state.response.pred_BCHW.shape)
            return (state.response.pred_BCHW - state.reference.pred_BCHW + noise).pow(2).mean()

        return term


@hookimpl
def spf_register(register):
    register(Faulty)
'''


CARELESS = """
import random
from typing import Any

import torch  # not for a real plugin: its import is a fault of its own

from spf_core.plugins import AdapterConfig, LossConfig, PromptEditorConfig, ReferenceConfig, TrackerConfig
from spf_core.plugins import hookimpl


class Seeding(LossConfig):
    \"\"\"Seeds the global generator to the same number in every step.\"\"\"

    name = "seeding"

    def build(self):
        def term(state):
            torch.manual_seed(0)
            return state.response.pred_BCHW.square().mean()

        return term


class Tracker:
    def start(self, run, settings, step): random.seed(0)
    def log(self, step, numbers): pass
    def pictures(self, step, pictures): pass
    def finish(self): pass


class Diary(TrackerConfig):
    \"\"\"Seeds the global generator when it starts.\"\"\"

    name = "diary"

    def build(self):
        return Tracker()


class Album(TrackerConfig):
    \"\"\"Lacks a parameter of pictures().\"\"\"

    name = "album"

    def build(self):
        class Narrow(Tracker):
            def pictures(self, pictures): pass

        return Narrow()


class Thawed(AdapterConfig):
    \"\"\"Trains the cross-attention, and leaves the rest as it found it.\"\"\"

    name = "thawed"

    def build(self):
        from spf_plugins.adapters.weights import Weights

        class Adapter(Weights):
            def attach(self, backbone: Any) -> None:
                found = {each: each.requires_grad for each in backbone.denoiser.parameters()}
                super().attach(backbone)
                for each, before in found.items():
                    each.requires_grad_(each.requires_grad or before)

            def state_dict(self) -> Any:
                return list(super().state_dict().values())

        return Adapter(cross=True)


class Dimmed(ReferenceConfig):
    \"\"\"Leaves the adapter at strength 0.\"\"\"

    name = "dimmed"

    def build(self):
        class Path:
            @torch.no_grad()
            def run(self, backbone, adapter, noised, base, capture):
                adapter.scale(0.0)
                return backbone.predict(noised.z_t_BCHW, noised.timesteps_B, base, capture)

        return Path()


class Spoiling(PromptEditorConfig):
    \"\"\"Changes a weight of the denoiser.\"\"\"

    name = "spoiling"

    def build(self):
        def edit(backbone, texts):
            from spf_core.interfaces import Prompt

            next(backbone.denoiser.parameters()).data.add_(1e-3)
            return backbone.encode_prompts([Prompt(text) for text in texts], with_target=False).embeds_BLD

        return edit


@hookimpl
def spf_register(register):
    register(Dimmed)
    register(Spoiling)
    register(Seeding)
    register(Diary)
    register(Album)
    register(Thawed)
"""


def test_what_a_tiny_model_could_hide_is_found(spf: Spf, tmp_path: Path) -> None:
    file = tmp_path / "careless.py"
    file.write_text(CARELESS, encoding="utf-8")

    def checked(name: str) -> tuple[dict[str, str], str]:
        done = spf("plugins", "check", name, "--plugin", file, "--quick")
        return verdicts(done), " ".join(done.out.split())

    for name in ("seeding", "diary"):
        assert checked(name)[0]["leaves the global random states alone"] == "failed"
    found, said = checked("dimmed")
    assert found["predicts what the original model predicts"] == "failed"
    assert "after it has run, the adapter is off or changed; put it back" in said
    found, said = checked("spoiling")
    assert found["returns the embeddings of each text"] == "failed"
    assert "it changes the weights of the denoiser; edit the embeddings alone" in said
    said = checked("album")[1]
    assert "pictures() of what build() of tracker 'album'" in said
    assert "returns cannot be called with (step, pictures): too many positional arguments" in said
    found, said = checked("thawed")
    assert found["trains its parameters and freezes the rest"] == "failed"
    assert "of the denoiser is trained, and parameters() lacks it" in said
    assert "their parameters and what they return with spf_core.interfaces.Adapter" in said


OTHER_NOISE = """
from typing import Any

from spf_core.plugins import BackboneConfig, UserPath, hookimpl
from spf_plugins.backbones.noise_processes import DDPMNoise
from spf_plugins.backbones.stable_diffusion import StableDiffusion


class Model(StableDiffusion):
    def make_scheduler(self, loaded: Any) -> Any:
        return type(loaded).from_config(loaded.config, beta_schedule="squaredcos_cap_v2", **self.more)


class Both(BackboneConfig):
    \"\"\"Trains and samples with another schedule.\"\"\"

    name = "both"
    path: UserPath
    apart: bool = False

    def build(self):
        from pathlib import Path

        Model.more = {"prediction_type": "v_prediction"}
        model = Model(Path(self.path))
        if self.apart:
            other = type(model.scheduler).from_config(model.scheduler.config, beta_schedule="linear")
            model.noise = DDPMNoise(other)
        return model


@hookimpl
def spf_register(register):
    register(Both)
"""


def test_a_backbone_samples_with_the_noise_it_trains_with(spf: Spf, tmp_path: Path) -> None:
    file = tmp_path / "noise.py"
    file.write_text(OTHER_NOISE, encoding="utf-8")
    check = ("plugins", "check", "both", "--plugin", file, "--quick")
    name = "samples with the noise that it trains with"
    assert verdicts(spf(*check))[name] == "passed"
    apart = spf(*check, "--set", "apart=true", "--set", f"path={tiny_folder('sd15')}")
    assert verdicts(apart)[name] == "failed"
    assert "make both of one scheduler" in " ".join(apart.out.split())
