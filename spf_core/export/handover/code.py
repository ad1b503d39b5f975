"""The code of a model card: what draws in diffusers exactly what `spf sample` draws of the run."""

import json
from dataclasses import dataclass

PLACE = "THIS FOLDER OR REPOSITORY"
WEIGHTS = "pytorch_lora_weights.safetensors"

# to() gets the dtype: what from_pretrained calls it differs between versions of diffusers.
_HEAD = """\
import torch
from diffusers import DDIMScheduler, {pipeline}

STEPS, GUIDANCE, HANDOVER, STRENGTH = {steps}, {guidance:g}, {handover:g}, {strength:g}
device = "cuda" if torch.cuda.is_available() else "cpu"
dtype = {weights_dtype}

pipe = {pipeline}.from_pretrained({base}{options}).to(device, dtype)
pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config{schedule})
"""
_LOAD_LORA = """\
pipe.load_lora_weights("{place}", weight_name="{weights}")
pipe.set_adapters(pipe.get_active_adapters(), STRENGTH)
"""
_LOAD_WHOLE = """\
tuned = {pipeline}.from_pretrained("{place}"{options}).to(device, dtype)
base_unet = pipe.unet
"""
_ENCODE = """

def encode({argument}prompt, negative):
    options = {{"num_images_per_prompt": 1, "do_classifier_free_guidance": True}}
    found = {pipe}.encode_prompt(prompt, device=device, negative_prompt=negative, **options)
    return dict(zip({names}, found))


@torch.no_grad()
def draw(base_text, target_text, seed):
    complete_text = f"{{base_text}}, {{target_text}}"
    {tuned_on}
    after = encode({tuned_model}complete_text, {negative})
    {base_on}

    def hand_over(pipe, step, t, tensors):  # from the first timestep below HANDOVER on
        timesteps, last = pipe.scheduler.timesteps, HANDOVER * pipe.scheduler.config.num_train_timesteps
        if step + 1 == len(timesteps) or not timesteps[step] >= last > timesteps[step + 1]:
            return {{}}
        {switch}
        signs = ["negative_", ""] if pipe.do_classifier_free_guidance else [""]
        return {{
{loop}
        }}

    size = pipe.unet.config.sample_size
    noise = torch.randn(
        1, pipe.unet.config.in_channels, size, size, generator=torch.Generator().manual_seed(seed)
    )
    with torch.autocast(device, {precision}):
        return pipe(
            **encode({base_model}base_text, None),
            num_inference_steps=STEPS,
            guidance_scale=GUIDANCE,
            latents=noise.to(device),
            callback_on_step_end=hand_over,
        ).images[0]


image = draw({base_text}, {target}, seed=0)
image.save("portrait.png")
"""
_LOOP = """\
            "{loop}": torch.cat([after[f"{{sign}}{name}"] for sign in signs]),"""
# what encode_prompt returns, in its order
_SD = ("prompt_embeds", "negative_prompt_embeds")
_XL = (*_SD, "pooled_prompt_embeds", "negative_pooled_prompt_embeds")
_IN_LOOP = {"prompt_embeds": "prompt_embeds", "pooled_prompt_embeds": "add_text_embeds"}
_TUNED_LORA = {
    "argument": "",
    "pipe": "pipe",
    "base_on": "pipe.disable_lora()",
    "base_model": "",
    "tuned_on": "pipe.enable_lora()",
    "tuned_model": "",
    "switch": "pipe.enable_lora()",
}
_TUNED_WHOLE = {
    "argument": "model, ",
    "pipe": "model",
    "base_on": "pipe.unet = base_unet",
    "base_model": "pipe, ",
    "tuned_on": "",
    "tuned_model": "tuned, ",
    "switch": "pipe.unet = tuned.unet",
}
_PRECISIONS = {
    "no": "enabled=False",
    "bf16": "dtype=torch.bfloat16",
    "fp16": "dtype=torch.float16",
}
# on a GPU spf too keeps the weights in 16 bits, half the memory; without autocast the types would not mix
_WEIGHTS_DTYPES = {
    "no": "torch.float32",
    "bf16": 'torch.bfloat16 if device == "cuda" else torch.float32',
    "fp16": 'torch.float16 if device == "cuda" else torch.float32',
}
PIPELINES = {"StableDiffusionPipeline": _SD, "StableDiffusionXLPipeline": _XL}


@dataclass(frozen=True)
class Drawing:
    """What the code of a card has to know; `negative` and `precision` are those of `sample` in the run."""

    pipeline: str
    base: str
    steps: int
    guidance: float
    handover: float
    strength: float
    negative: str
    precision: str
    zero_snr: bool
    base_text: str
    target: str


def handover_code(drawing: Drawing, *, lora: bool) -> str:
    """Python that switches from the base model to the tuned one at the handover, inside one sampling.

    The tuned model is a LoRA, or a whole pipeline; `drawing.pipeline` is one of `PIPELINES`.
    """
    names = PIPELINES[drawing.pipeline]
    extended = drawing.pipeline == "StableDiffusionXLPipeline"
    facts = {
        **vars(drawing),
        **{name: json.dumps(getattr(drawing, name)) for name in ("base", "base_text", "target")},
        "place": PLACE,
        "weights": WEIGHTS,
        "options": ", add_watermarker=False" if extended else "",
        "schedule": ', timestep_spacing="trailing"' if drawing.zero_snr else "",
        "names": f"({', '.join(map(json.dumps, names))})",
        "negative": "target_text" if drawing.negative == "target" else "None",
        "precision": _PRECISIONS[drawing.precision],
        "weights_dtype": _WEIGHTS_DTYPES[drawing.precision],
        "loop": "\n".join(
            _LOOP.format(loop=_IN_LOOP[name], name=name) for name in names if not name.startswith("negative")
        ),
        **(_TUNED_LORA if lora else _TUNED_WHOLE),
    }
    head = _HEAD + (_LOAD_LORA if lora else _LOAD_WHOLE)
    lines = (head + _ENCODE).format(**facts).splitlines()
    return "\n".join(line for line in lines if line.strip() or line == "") + "\n"
