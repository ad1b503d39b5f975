"""What the methods of a plugin's suite, backbone and prompt editor return is checked where they return it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from command_line import Spf
from PIL import Image

from spf_core.errors import ConfigError, PluginError
from spf_core.interfaces import Prompt, PuritySet, Region, TrainingFacts, UnseenPrompt
from spf_core.plugins.building import built
from spf_core.plugins.configs import BackboneConfig, PromptEditorConfig, SuiteConfig
from spf_core.plugins.discovery import load_plugins
from spf_core.testing import TinySuite, tiny_folder
from spf_lab.evaluation.metrics import purity_metrics
from spf_plugins.backbones.stable_diffusion import StableDiffusion

IMAGES = [Image.new("RGB", (8, 6), colour) for colour in ("white", "black")]
ONE = TinySuite()
NAMED = "suite 'mine' of plugin 'my-package' 1.2 fails in "


def world(methods: Mapping[str, Any]) -> Any:
    """A suite of somebody else, in which some methods are others."""

    class Mine(SuiteConfig):
        """A world of somebody else."""

        name = "mine"

        def build(self) -> Any:
            return type("World", (TinySuite,), dict(methods))()

    load_plugins().add(Mine, "my-package", "1.2")
    return built(Mine)


Ask = Callable[[Any], Any]
JUDGED: Mapping[str, Ask] = {
    "target_probability": lambda suite: suite.target_probability(IMAGES, "hat"),
    "attribute_probabilities": lambda suite: suite.attribute_probabilities(IMAGES),
    "segment": lambda suite: suite.segment(IMAGES),
    "identity": lambda suite: suite.identity(IMAGES),
    "patch_features": lambda suite: suite.patch_features(IMAGES),
    "region": lambda suite: suite.region(IMAGES, IMAGES, "hat"),
    "allowed_parts": lambda suite: suite.allowed_parts("hat"),
    "allowed_attributes": lambda suite: suite.allowed_attributes("hat"),
    "changes_identity": lambda suite: suite.changes_identity("hat"),
    "recognise": lambda suite: suite.recognise(Path("nowhere")),
    "prompts": lambda suite: suite.prompts("hat", 1, seed=0, split="test"),
    "positives": lambda suite: suite.positives("hat", 1, seed=0, size=8),
}
BRIGHT = torch.ones(2, 6, 8, dtype=torch.bool)


@pytest.mark.parametrize("method", JUDGED)
def test_right_answers_pass_unchanged(method: str) -> None:
    found, plain = (JUDGED[method](suite) for suite in (world({}), TinySuite()))
    assert type(found) is type(plain)
    if isinstance(found, torch.Tensor):
        assert torch.equal(found, plain)


@pytest.mark.parametrize(
    ("method", "answer", "words"),
    [
        ("target_probability", [0.5, 0.5], "return N probabilities as a tensor of floats, [2], on the CPU"),
        ("target_probability", torch.ones(2, 1), "it returns float32 of shape [2, 1] on cpu; return"),
        ("target_probability", torch.ones(2, dtype=torch.float64), "it returns float64 of shape [2]"),
        ("target_probability", torch.tensor([0.0, 3.0]), "are from 0 to 3; return probabilities in [0, 1]"),
        ("attribute_probabilities", {"hair": torch.ones(2, 2)}, "the attributes of the suite, background"),
        ("attribute_probabilities", {"background": torch.ones(2, 2)}, "let them add up to 1"),
        ("segment", torch.zeros(6, 8, dtype=torch.long), "a tensor of whole numbers, [2, 'any', 'any']"),
        ("segment", torch.zeros(2, 6, 8), "it returns float32 of shape [2, 6, 8]"),
        ("identity", torch.ones(2, 4), "its embeddings have lengths [2.0, 2.0]; divide each by its length"),
        ("patch_features", torch.ones(2, 4), "[2, 'any', 'any', 'any']"),
        ("region", (BRIGHT, BRIGHT), "return a spf_core.interfaces.Region"),
        ("region", Region(BRIGHT.float(), BRIGHT), "return outside_NHW as a tensor of booleans"),
        ("allowed_parts", None, "it returns None; return a frozenset of part numbers"),
        ("allowed_attributes", frozenset({"hair"}), "return a frozenset of names among background"),
        ("changes_identity", None, "it returns None; return True or False"),
        ("recognise", {"target": "hat"}, "return spf_core.interfaces.TrainingFacts, or None"),
        ("prompts", [Prompt("a man", "a hat")], "return a list of spf_core.interfaces.UnseenPrompt"),
        ("prompts", [UnseenPrompt(Prompt("a", "b"), {"background": "red"})], "'background'='red', which"),
        ("positives", [BRIGHT], "return a list of pictures of PIL"),
    ],
)
def test_a_wrong_answer_names_suite_method_and_way_out(method: str, answer: object, words: str) -> None:
    suite = world({method: lambda self, *_, **__: answer})
    with pytest.raises(PluginError) as caught:
        JUDGED[method](suite)
    message = str(caught.value)
    assert message.startswith(f"{NAMED}")
    assert words in message


def test_a_suite_that_is_given_twice_is_the_same() -> None:
    class Shared(SuiteConfig):
        """A world of somebody else, of which there is one."""

        name = "shared"

        def build(self) -> Any:
            return ONE

    load_plugins().add(Shared, "my-package", "1.2")
    first, again = built(Shared), built(Shared)
    assert first is again is ONE
    assert len(type(ONE).__mro__) == len(TinySuite.__mro__) + 1


@pytest.mark.parametrize(
    ("fact", "value", "words"),
    [
        ("label", None, "its `label` is None"),
        ("targets", ["hat"], "its `targets` are ['hat']; give a tuple of names"),
        ("attributes", ("background",), "its `attributes` are ('background',)"),
        ("purity", ("appearance",), "give a spf_core.interfaces.PuritySet"),
    ],
)
def test_what_a_suite_says_of_itself_is_checked(fact: str, value: object, words: str) -> None:
    with pytest.raises(PluginError) as caught:
        world({fact: value})
    assert words in str(caught.value)
    assert "suite 'mine' of plugin 'my-package' 1.2" in str(caught.value)


def test_a_metric_that_a_suite_asks_for_and_nobody_has_is_named() -> None:
    with pytest.raises(ConfigError, match="set 'mine-1' of tiny: no metric named 'looks'"):
        purity_metrics(load_plugins(), world({"purity": PuritySet("mine-1", ("looks",))}))


def test_a_method_that_raises_is_named_with_its_place() -> None:
    def recognise(self: object, folder: Path) -> TrainingFacts | None:
        raise FileNotFoundError(2, "No such file", "facts.json")

    with pytest.raises(PluginError, match=r"in recognise\(\): FileNotFoundError: .*test_answers.py, line"):
        JUDGED["recognise"](world({"recognise": recognise}))


def test_the_texts_of_a_backbone_have_a_row_each() -> None:
    class Model(StableDiffusion):
        def encode_prompts(self, prompts: Any, *, with_target: bool) -> Any:
            return super().encode_prompts(prompts[:1], with_target=with_target)

        def embed_images(self, images_B3HW: Any) -> Any:
            return None

    class Mine(BackboneConfig):
        """A model of somebody else."""

        name = "mine"

        def build(self) -> Any:
            return Model(tiny_folder("sd15"))

    load_plugins().add(Mine, "my-package", "1.2")
    model = built(Mine)
    with pytest.raises(PluginError, match=r"embeds_BLD is \[1, .*\] for 2 prompts; give a row for each"):
        model.encode_prompts([Prompt("a man", "a hat")] * 2, with_target=True)
    with pytest.raises(PluginError, match=r"fails in embed_images\(\): it returns None for 2 of"):
        model.embed_images(torch.zeros(2, 3, 8, 8))


@pytest.mark.parametrize("answer", [None, torch.ones(1, 77, 8), torch.ones(2, 8)])
def test_the_embeddings_of_a_prompt_editor_have_a_row_for_each_text(answer: object) -> None:
    class Editor:
        def __call__(self, backbone: object, texts: object) -> object:
            return answer

    class Mine(PromptEditorConfig):
        """An editor of somebody else."""

        name = "mine"

        def build(self) -> Any:
            return Editor()

    load_plugins().add(Mine, "my-package", "1.2")
    with pytest.raises(PluginError, match=r"1.2 fails in __call__\(\): it returns .* for 2 of `texts`"):
        built(Mine)(None, ["a man", "a woman"])


SUITE = """
from spf_core.plugins import SuiteConfig, hookimpl
from spf_core.testing import TinySuite


class World(TinySuite):
    def write_training_set(self, out, *, target, count, bias, seed, size):
        out.mkdir(exist_ok=True)
        (out / "metadata.jsonl").write_text('{"file_name": "0.png"}\\n' * (count - self.lacking))


class Mine(SuiteConfig):
    \"\"\"A world of somebody else.\"\"\"

    name = "my-world"
    lacking: int = 0

    def build(self):
        world = World()
        world.lacking = self.lacking
        return world


@hookimpl
def spf_register(register):
    register(Mine)
"""


def test_a_suite_writes_what_was_asked_for_or_nothing(
    spf: Spf, install: Callable[..., None], tmp_path: Path
) -> None:
    install("my-world", SUITE)
    out = tmp_path / "data"
    asked = ("data", "my-world", "--out", out, "--count", 3)
    assert spf(*asked, "--target", "beard").fails_with("no target named 'beard'", "hat")
    assert spf(*asked, "--target", "hat", "--bias", "hair=red").fails_with(
        "no attribute named 'hair'", "background"
    )
    assert spf(*asked, "--target", "hat", "--bias", "background=red").fails_with("'red'", "bright, dark")
    lacking = ("--target", "hat", "--set", "my-world.lacking=1")
    assert spf(*asked, *lacking).fails_with("it writes 2 rows, and 3 were asked for")
    assert spf(*asked, "--target", "hat", "--set", "other.lacking=1").fails_with("expected my-world.OPTION")
    assert not out.exists()
    assert spf(*asked, "--target", "hat").code == 0
    assert (out / "metadata.jsonl").is_file()
