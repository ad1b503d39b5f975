"""Sampling with a backbone's pipeline, where the seed alone decides the initial noise; grids, PNG files."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from PIL import ImageDraw, ImageFont, PngImagePlugin
from PIL.Image import Image, Resampling
from PIL.Image import new as new_image
from torch import Tensor

from spf_core.config.sections import SampleSection
from spf_core.errors import ConfigError, NonFiniteError, RunError
from spf_core.interfaces import Adapter, Backbone, PromptEditor
from spf_core.interfaces.types import Conditioning, index
from spf_core.utils.atomic import atomic_file
from spf_core.utils.distributed import SINGLE_PROCESS, ProcessGroup
from spf_core.utils.progress import Progress, silent
from spf_core.utils.prompts import Prompt

ROWS, POSITIONS = 32, 2**17  # in a pass without gradients: 32 latents of 64 x 64, 8 of 128 x 128
_INK, _PAPER, _FAINT = "#111111", "#ffffff", "#555555"
_GAP = 6

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def initial_noise(seeds: Sequence[int], shape_CHW: tuple[int, int, int]) -> Tensor:
    """Standard normal latents (B, C, H, W), each drawn on the CPU by its own seed."""
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    return torch.stack([torch.randn(shape_CHW, generator=generator) for generator in generators])


@dataclass(frozen=True)
class BeforeHandover:
    """Who samples before the handover: the base model, from the base text, down to t = `sample.handover`."""

    texts: Sequence[str]
    adapter: Adapter


@torch.no_grad()
def sample_images(
    backbone: Backbone,
    texts: Sequence[str],
    seeds: Sequence[int],
    options: SampleSection,
    *,
    before_handover: BeforeHandover | None = None,
    editor: PromptEditor | None = None,
    size: tuple[int, int] | None = None,
    progress: Progress = silent,
    stage: str = "sampling",
    group: ProcessGroup = SINGLE_PROCESS,
) -> list[Image]:
    """Sample an image for each pair of text and seed; `before_handover` has a base text for each too.

    Batches are cut by `options.batch_size` alone, so equal seeds meet equal batches whatever the texts are.
    Without `before_handover`, and at `sample.handover` 1, the texts count from the first step on. `editor`
    changes their embeddings, never those of the base texts before the handover. `size` is width and height in
    pixels; by default the images are squares of the model's size. `progress` hears of `stage` after every
    batch.

    Processes `group` take turns with whole batches, which leaves the images what they are: the main one
    gets all of them, the others none.
    """
    refuse_more_steps(backbone, options)
    if len(texts) != len(seeds):
        raise ValueError(f"{len(texts)} texts but {len(seeds)} seeds")

    def batch(start: int) -> list[Image]:
        part = slice(start, start + options.batch_size)
        first = (
            None
            if before_handover is None
            else BeforeHandover(before_handover.texts[part], before_handover.adapter)
        )
        return _sample_batch(backbone, texts[part], seeds[part], options, first, editor, size)

    images: list[Image] = []
    starts = range(0, len(texts), options.batch_size)
    for first in range(0, len(starts), group.count):
        mine = starts[first + group.rank :][:1]
        drawn = group.each([image for start in mine for image in batch(start)])
        images += chain(*drawn) if group.main else ()
        progress(stage, len(images), len(texts))
    return images


def refuse_more_steps(backbone: Backbone, options: SampleSection) -> None:
    """ConfigError when the sampler is to take more steps than the model has timesteps."""
    most = backbone.noise.steps
    if options.steps > most:
        raise ConfigError(
            f"sample.steps={options.steps}: the model has {most} timesteps; set it to {most} or less"
        )


def _sample_batch(
    backbone: Backbone,
    texts: Sequence[str],
    seeds: Sequence[int],
    options: SampleSection,
    before_handover: BeforeHandover | None,
    editor: PromptEditor | None,
    size: tuple[int, int] | None,
) -> list[Image]:
    pipeline = backbone.pipeline()
    wanted, empty = _encode(backbone, texts)
    against = empty
    if options.negative == "target" and before_handover is not None:
        pairs = zip(texts, before_handover.texts, strict=True)
        against, _ = _encode(backbone, [_target_alone(*pair) for pair in pairs])
    if editor is not None:
        wanted = replace(wanted, embeds_BLD=editor(backbone, texts))
    width, height = size or (backbone.image_size, backbone.image_size)
    shape = backbone.latent_shape(height, width)
    first, nothing, callback = wanted, empty, None
    inputs = backbone.pipeline_inputs
    with ExitStack() as original, mixed_precision(backbone, options):
        last = backbone.noise.timestep_at(options.handover)
        starts = float(backbone.noise.sampler(options.steps).timesteps_S[0])
        if before_handover is not None and starts >= last:
            original.enter_context(before_handover.adapter.disabled())
            first, nothing = _encode(backbone, before_handover.texts)
            callback = _hand_over(inputs(against), inputs(wanted), last, original, backbone.loop_names)
        output: Any = pipeline(
            **inputs(first),
            **{f"negative_{name}": tensor for name, tensor in inputs(nothing).items()},
            height=height,
            width=width,
            num_inference_steps=options.steps,
            guidance_scale=options.guidance,
            latents=initial_noise(seeds, shape),
            callback_on_step_end=callback,
            output_type="latent",
        )
        pixels = backbone.decode(output.images)
    if not bool(pixels.isfinite().all()):  # they would be black, and be measured as if they were pictures
        raise NonFiniteError(
            f"images became NaN or infinite with sample.guidance={options.guidance:g} and "
            f"sample.precision={options.precision}; set guidance lower, or precision to no or bf16"
        )
    images: list[Image] = pipeline.image_processor.postprocess(pixels, output_type="pil")
    return images


def mixed_precision(backbone: Backbone, options: SampleSection) -> AbstractContextManager[Any]:
    """Autocast in `sample.precision`; where that is `no`, in the format of half-precision weights.

    With neither, whatever context there is stays.
    """
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(options.precision, backbone.dtype)
    return nullcontext() if dtype == torch.float32 else torch.autocast(backbone.device.type, dtype=dtype)


def rows_at_once(height: int, width: int) -> int:
    """How many latents of this size are sampled together before training."""
    return max(1, min(ROWS, POSITIONS // (height * width)))


def guided_prediction(
    backbone: Backbone,
    z_t_BCHW: Tensor,
    timesteps_B: Tensor,
    texts: Conditioning,
    empty: Conditioning,
    guidance: float,
) -> Tensor:
    """Classifier-free guidance: p(empty) + g (p(texts) - p(empty)); `empty` has a batch of one."""
    nothing = index(empty, torch.zeros(len(z_t_BCHW), dtype=torch.long, device=z_t_BCHW.device))
    free = backbone.predict(z_t_BCHW, timesteps_B, nothing).pred_BCHW
    return free + guidance * (backbone.predict(z_t_BCHW, timesteps_B, texts).pred_BCHW - free)


def _encode(backbone: Backbone, texts: Sequence[str]) -> tuple[Conditioning, Conditioning]:
    """The texts, and as many empty ones."""
    prompts, count = [Prompt(text) for text in (*texts, "")], len(texts)
    encoded = backbone.encode_prompts(prompts, with_target=False)
    return index(encoded, torch.arange(count)), index(encoded, torch.full((count,), count))


def _target_alone(text: str, base: str) -> str:
    """The target's text where it follows the base text; else nothing."""
    joined = f"{base}, "
    return text.removeprefix(joined) if text.startswith(joined) else ""


def _hand_over(
    empty: Mapping[str, Tensor],
    texts: Mapping[str, Tensor],
    last_timestep: float,
    original: ExitStack,
    loop_names: Mapping[str, str],
) -> Callable[[Any, int, Any, dict[str, Tensor]], dict[str, Tensor]]:
    """A step callback for diffusers: when the next t lies below `last_timestep`, the texts are exchanged
    and `original` is left, which switches the adapter on.
    """

    def callback(pipeline: Any, step: int, timestep: Any, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        timesteps = pipeline.scheduler.timesteps
        if step + 1 < len(timesteps) and timesteps[step] >= last_timestep > timesteps[step + 1]:
            original.close()
            torch.clear_autocast_cache()  # autocast would keep its copies of whole weights of the original
            guided = pipeline.do_classifier_free_guidance
            return {
                loop_names.get(name, name): torch.cat([empty[name], tensor]) if guided else tensor
                for name, tensor in texts.items()
            }
        return {}

    return callback


def save_png(image: Image, path: Path, metadata: Mapping[str, str]) -> None:
    """Write a PNG atomically, with `metadata` as text chunks; RunError when the place cannot be written."""
    chunks = PngImagePlugin.PngInfo()
    for key, value in metadata.items():
        chunks.add_itxt(key, value)
    try:
        with atomic_file(path) as temporary:
            image.save(temporary, format="PNG", pnginfo=chunks)
    except OSError as error:
        raise RunError(f"'{path}' cannot be written ({error.strerror}); choose another place") from None


def comparison_grid(
    rows: Mapping[str, Sequence[Image]], captions: Sequence[str], scale: int | None = None
) -> Image:
    """Draw one row of images per label under captions, both wrapped; small images grow to about 192 pixels.

    All images have one size, and each row has as many as there are captions. `scale` fixes the enlargement.
    """
    first = next(iter(rows.values()))[0]
    factor = scale or max(1, 192 // first.width)
    width, height = first.width * factor, first.height * factor
    font = ImageFont.load_default(size=max(12, min(28, width // 12)))
    headings = [_wrap(caption, font, width) for caption in captions]
    labels = [_wrap(label, font, width) for label in rows]
    left = max(_size(label, font)[0] for label in labels) + 2 * _GAP
    top = max(_size(heading, font)[1] for heading in headings) + 2 * _GAP
    page = left + len(captions) * (width + _GAP), top + len(rows) * (height + _GAP)
    canvas = new_image("RGB", page, _PAPER)
    draw = ImageDraw.Draw(canvas)
    for column, heading in enumerate(headings):
        draw.multiline_text((left + column * (width + _GAP), _GAP), heading, fill=_FAINT, font=font)
    for row, (label, images) in enumerate(zip(labels, rows.values(), strict=True)):
        y = top + row * (height + _GAP)
        draw.multiline_text((_GAP, y + height // 2), label, fill=_INK, font=font, anchor="lm")
        for column, (image, _caption) in enumerate(zip(images, captions, strict=True)):
            canvas.paste(_resized(image, width, height), (left + column * (width + _GAP), y))
    return canvas


def _resized(image: Image, width: int, height: int) -> Image:
    return image.convert("RGB").resize((width, height), Resampling.LANCZOS)


def _wrap(text: str, font: Font, width: int) -> str:
    """Break `text` between words into lines no wider than `width` pixels, where the words allow it."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return "\n".join(lines)


def _size(text: str, font: Font) -> tuple[int, int]:
    """Width and height in pixels of a text of one or more lines."""
    box = ImageDraw.Draw(new_image("RGB", (1, 1))).multiline_textbbox((0, 0), text, font=font)
    return round(box[2]), round(box[3])
