"""Checks of backbones, adapters and prompt editors."""

from collections.abc import Mapping

import torch
from torch import Tensor

from spf_core.errors import RunError
from spf_core.interfaces import Adapter, Backbone
from spf_core.plugins.building import attach
from spf_core.plugins.configs import AdapterConfig
from spf_core.testing.conformance import PROMPT, check_attention_sites, check_noise_process, predicted
from spf_core.testing.states import PROMPTS
from spf_core.testing.subject import Check, Failure, NotApplicable, Subject
from spf_core.testing.watching import other_chance


def noise_fits(subject: Subject) -> None:
    """The formulas of the noise process lead back to the image, also by sampling."""
    check_noise_process(subject.new_backbone().noise)


def samples_as_it_trains(subject: Subject) -> None:
    """The pipeline's scheduler has the noise process that training has."""
    backbone = subject.new_backbone()
    process, scheduler = backbone.noise, backbone.pipeline().scheduler
    if not hasattr(scheduler, "add_noise"):
        raise NotApplicable("its scheduler adds no noise to pictures")
    shape = backbone.latent_shape(backbone.image_size, backbone.image_size)
    clean, noise = torch.randn(2, 3, *shape, generator=torch.Generator().manual_seed(0))
    t_B = torch.cat([process.at(level, 1) for level in (0.1, 0.5, 0.8)])
    if not torch.allclose(
        process.noised(clean, noise, t_B), scheduler.add_noise(clean, noise, t_B), atol=1e-3
    ):
        raise Failure(
            "pipeline() has a scheduler that adds other noise than `noise` does, so images are drawn with "
            "another schedule than was trained; make both of one scheduler"
        )
    trained_on_v = getattr(process, "trained_on_v", None)
    if trained_on_v is not None and trained_on_v != (scheduler.config.prediction_type == "v_prediction"):
        raise Failure(
            f"pipeline() has a scheduler for {scheduler.config.prediction_type}, which is not what `noise` "
            "says; make both of one scheduler"
        )


def sites_record(subject: Subject) -> None:
    """Attention sites record what they say, and leave the prediction as it is."""
    backbone = subject.new_backbone()
    if not backbone.attention_sites():
        raise NotApplicable(
            "it has no attention sites, so no term that needs attention or queries works on it"
        )
    check_attention_sites(backbone)


def encodes_and_decodes(subject: Subject) -> None:
    """Latents, pixels and embeddings have the shapes and ranges of the protocol."""
    backbone = subject.new_backbone()
    size = backbone.image_size
    pixels = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        latents = backbone.encode_images(pixels)
        images, embeds = backbone.decode(latents), backbone.embed_images(pixels)
        texts = backbone.embed_texts(["a hat", "an old man"])
    wanted = {
        "encode_images": (latents, (2, *backbone.latent_shape(size, size))),
        "decode": (images, (2, 3, size, size)),
        "embed_images": (embeds, (2, texts.shape[1])),
    }
    for method, (found, shape) in wanted.items():
        if tuple(found.shape) != shape:
            raise Failure(f"{method} returns shape {list(found.shape)}; return {list(shape)}")
    for method, found in (("embed_images", embeds), ("embed_texts", texts)):
        if not torch.allclose(found.norm(dim=-1), torch.ones(2), atol=1e-3):
            raise Failure(
                f"{method} returns embeddings of length {found.norm(dim=-1).tolist()}; return unit norm"
            )
    if not torch.equal(latents, backbone.encode_images(pixels).detach()):
        raise Failure("encode_images draws; return the posterior's mean")


def reads_texts(subject: Subject) -> None:
    """A text's row is the same alone and among others, and the target's words change it."""
    backbone, prompts = subject.new_backbone(), list(PROMPTS[:2])
    together = backbone.encode_prompts(prompts, with_target=True)
    alone = backbone.encode_prompts(prompts[1:], with_target=True)
    if not torch.allclose(together.embeds_BLD[1:], alone.embeds_BLD, atol=1e-4):
        raise Failure("encode_prompts gives a text another row among others; keep the order of the prompts")
    base = backbone.encode_prompts(prompts, with_target=False)
    if torch.allclose(together.embeds_BLD, base.embeds_BLD, atol=1e-6):
        raise Failure("encode_prompts encodes the same with and without the target; read its words, too")


def base_is_frozen(subject: Subject) -> None:
    """Every call predicts the same, and two models that are built have one fingerprint."""
    first, second = subject.new_backbone(), subject.new_backbone()
    if first.fingerprint() != second.fingerprint():
        raise Failure("two builds have different fingerprints; load the same weights, or seed what you draw")
    if not torch.equal(predicted(first), predicted(first)):
        raise Failure("two predictions differ; call eval() on its modules, which switches dropout off")


def attaches(subject: Subject) -> None:
    """After `attach` the adapter's float32 parameters are trained, and every other weight is frozen."""
    backbone, adapter = _attached(subject)
    own = list(adapter.parameters())
    for parameter in own:
        if parameter.dtype != torch.float32 or not parameter.requires_grad:
            raise Failure(
                f"a parameter is {parameter.dtype}, requires_grad={parameter.requires_grad}; make all "
                "of them float32 with requires_grad=True"
            )
    known = {id(parameter) for parameter in own}
    for name, weight in backbone.denoiser.named_parameters():
        if weight.requires_grad and id(weight) not in known:
            raise Failure(
                f"'{name}' of the denoiser is trained, and parameters() lacks it; freeze it, or return it"
            )


def switches_off(subject: Subject) -> None:
    """Within `disabled()` and at `scale(0)` the model is the original one to the bit; then it is back."""
    backbone = subject.new_backbone()
    original = predicted(backbone)
    adapter: Adapter = subject.build()
    _attach(subject, adapter, backbone)
    _move(adapter)
    tuned = predicted(backbone)
    if torch.equal(tuned, original):
        raise Failure("its parameters do not change what the backbone predicts; put them into its layers")
    with adapter.disabled():
        off = predicted(backbone)
    if not torch.equal(off, original):
        raise Failure(
            "within disabled() the model is not the original one to the bit; skip the adapter there"
        )
    if not torch.equal(predicted(backbone), tuned):
        raise Failure("after disabled() the adapter is not as before; put it back, also after an error")
    adapter.scale(0.0)
    off = predicted(backbone)
    adapter.scale(1.0)
    if not torch.equal(off, original):
        raise Failure("scale(0) is not the original model to the bit; skip the adapter at strength 0")
    if not torch.allclose(predicted(backbone), tuned, atol=1e-6):
        raise Failure(
            "scale(1) after scale(0) is not the trained model; keep the weights apart from the scale"
        )


def reaches_its_parameters(subject: Subject) -> None:
    """A loss of the prediction has a gradient on the parameters, and on no frozen weight."""
    backbone, adapter = _attached(subject)
    _move(adapter)
    cond = backbone.encode_prompts([PROMPT], with_target=True)
    shape = backbone.latent_shape(backbone.image_size, backbone.image_size)
    z_t = torch.randn(1, *shape, generator=torch.Generator().manual_seed(2))
    backbone.predict(z_t, backbone.noise.at(0.5, 1), cond).pred_BCHW.pow(2).mean().backward()  # type: ignore[no-untyped-call]
    own = list(adapter.parameters())
    if not any(parameter.grad is not None and bool(parameter.grad.any()) for parameter in own):
        raise Failure(
            "the gradient of a prediction reaches none of its parameters; use them in the forward pass"
        )
    known = {id(parameter) for parameter in own}
    for name, weight in backbone.denoiser.named_parameters():
        if weight.grad is not None and id(weight) not in known:
            raise Failure(f"the frozen weight '{name}' gets a gradient; set requires_grad=False in attach()")


def saves_and_loads(subject: Subject) -> None:
    """Another adapter that loads the state predicts the same; a state without a tensor is refused."""
    backbone, adapter = _attached(subject)
    _move(adapter)
    state = {name: tensor.detach().clone() for name, tensor in adapter.state_dict().items()}
    other_backbone, other = _attached(subject)
    other.load_state_dict(state)
    if not torch.equal(predicted(backbone), predicted(other_backbone)):
        raise Failure("a second adapter that loads state_dict() predicts something else; save every tensor")
    lacking = dict(list(state.items())[1:])
    _refuses(other, lacking, f"lacks '{next(iter(state))}'")
    _refuses(other, {**state, "surplus": torch.zeros(1)}, "has a tensor 'surplus' too many")


def _refuses(adapter: Adapter, state: Mapping[str, Tensor], fault: str) -> None:
    try:
        adapter.load_state_dict(state)
    except RunError:
        return
    except Exception as error:
        raise Failure(
            f"load_state_dict raises {type(error).__name__} for a state that {fault}; raise "
            "spf_core.errors.RunError, which names the tensor"
        ) from None
    raise Failure(f"load_state_dict takes a state that {fault}; raise spf_core.errors.RunError")


def edits_embeddings(subject: Subject) -> None:
    """The editor returns embeddings of the texts in the backbone's shape, alike alone and among others."""
    backbone, editor = subject.new_backbone(), subject.build()
    texts = [prompt.complete_text for prompt in PROMPTS[:2]]
    plain = backbone.encode_prompts([*PROMPTS[:2]], with_target=True).embeds_BLD
    weights = {name: each.clone() for name, each in backbone.denoiser.state_dict().items()}
    with torch.no_grad(), other_chance() as changed_states:
        found, again, alone = editor(backbone, texts), editor(backbone, texts), editor(backbone, texts[:1])
        if changed_states():
            raise Failure("it changes the global random state; draw from a generator of its own")
    if any(not torch.equal(each, weights[name]) for name, each in backbone.denoiser.state_dict().items()):
        raise Failure("it changes the weights of the denoiser; edit the embeddings alone")
    if not isinstance(found, Tensor) or found.shape != plain.shape:
        shape = list(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise Failure(f"it returns {shape}; return B L D as encode_prompts does, here {list(plain.shape)}")
    if not bool(found.isfinite().all()):
        raise Failure("it returns NaN or infinity")
    if not torch.equal(found, again):
        raise Failure("two calls with the same texts differ; draw nothing, or from a generator of your own")
    if not torch.allclose(found[:1], alone, atol=1e-4):
        raise Failure("a text's embeddings depend on the other texts of the batch; edit each text alone")


def _attached(subject: Subject) -> tuple[Backbone, Adapter]:
    backbone, adapter = subject.new_backbone(), subject.build()
    backbone.denoiser.requires_grad_(True)  # to freeze it is the adapter's work
    _attach(subject, adapter, backbone)
    return backbone, adapter


def _attach(subject: Subject, adapter: Adapter, backbone: Backbone) -> None:
    assert isinstance(subject.config, AdapterConfig), "of that kind"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        attach(subject.config, adapter, backbone)


def _move(adapter: Adapter) -> None:
    """Move the parameters away from where they start, which often is the original model."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in adapter.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator).to(parameter))


BACKBONES: tuple[tuple[str, Check], ...] = (
    ("encodes and decodes in the shapes of its protocol", encodes_and_decodes),
    ("noise process leads back to the image", noise_fits),
    ("samples with the noise that it trains with", samples_as_it_trains),
    ("reads each text, and the target's words", reads_texts),
    ("attention sites record and change nothing", sites_record),
    ("predicts the same every time", base_is_frozen),
)
ADAPTERS: tuple[tuple[str, Check], ...] = (
    ("trains its parameters and freezes the rest", attaches),
    ("off and at strength 0 it is the original model", switches_off),
    ("gradient reaches its parameters and nothing else", reaches_its_parameters),
    ("saves, loads, and refuses another state", saves_and_loads),
)
EDITORS: tuple[tuple[str, Check], ...] = (("returns the embeddings of each text", edits_embeddings),)
