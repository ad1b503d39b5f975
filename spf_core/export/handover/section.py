"""The section of a model card on the handover: when it is, and how each program is told of it.

Facts of Forge are from lllyasviel/stable-diffusion-webui-forge: `modules/sd_samplers_common.py` (the refiner
takes over at the first step whose number over all steps reaches *Switch at*), `modules/prompt_parser.py` (the
number in prompt editing is the last step of the text before, counted from 0) and `modules/extra_networks.py`
(`<lora:...>` is taken out of the prompt before). Forge is a fork of A1111, whose own files we did not read.
"""

from spf_core.export.facts import Facts
from spf_core.export.handover.code import PIPELINES, Drawing, handover_code
from spf_core.export.handover.comfyui import WORKFLOW
from spf_core.export.handover.told import run_steps, start_of, table

PORTRAIT, TARGET = "a portrait of a woman with red hair", "YOUR TARGET"

_WHEN = """\
## Handover

In spf the original model begins every picture from the prompt *without* the target. The tuned model takes
over with the target **{told}**. A client that applies the weights from the first step may
change more of the picture than the numbers of spf say.
"""
_STEPS = """\
The step depends on the sampler. spf measured DDIM with {steps} steps and guidance {guidance:g}. The table
shows how many steps the original model takes in diffusers' samplers. Except for DDIM, their steps reach over
the whole schedule (`timestep_spacing="linspace"`), as in most programs.

{table}"""
_CODE = """\
This code draws in diffusers what `spf sample` draws of the run:

```python
{code}```
"""
_EDITOR = """\
The run samples with the prompt editor `{editor}`, which this code leaves out.
"""
_COMFYUI = """\
**ComfyUI.** Put `{file}` into `models/loras` and drag `{workflow}` into the window.
Choose your checkpoint, and write the base text and the complete text. ComfyUI counts shares of the schedule,
so that the switch is at {start:g} with every sampler.
"""
_WEBUI = """\
**A1111 and Forge.** Prompt editing switches words. It cannot switch `<lora:...>`, which acts from the first
step. Two checkpoints can take turns instead. Write the tuned model with
`spf export RUN --format checkpoint --merge`. Choose the original model as the checkpoint and the tuned one as
the *Refiner*. For DDIM with {steps} steps, set *Switch at* to {switch:g} and write `{prompt}`.
*Switch at* is a share of the steps. The number in the prompt is the last step without the target, counted
from 0. For step k of N in the table, they are k / N and k - 1.
"""


def handover_section(facts: Facts, *, lora: bool) -> str:
    """The section, empty without a handover; of another architecture than SD1.5's and SDXL's when alone."""
    if facts.handover == 1:
        return ""
    parts = [_WHEN.format(told=facts.handover_told)]
    if facts.pipeline not in PIPELINES:
        return parts[0]
    sample = facts.config.sample
    when = table(facts.schedule, sample.steps, facts.handover)
    parts.append(_STEPS.format(steps=sample.steps, guidance=sample.guidance, table=when))
    if run_steps(facts.schedule, sample.steps, facts.handover):
        parts.append(_CODE.format(code=handover_code(_drawing(facts), lora=lora)))
        if facts.config.editor is not None:
            parts.append(_EDITOR.format(editor=facts.config.editor.name))
        if facts.opened_by_clients:
            parts.append(_webui(facts))
    if lora and facts.kohya and facts.opened_by_clients:
        file, start = f"{facts.title}.safetensors", start_of(facts.handover)
        parts.append(_COMFYUI.format(file=file, workflow=WORKFLOW, start=start))
    return "\n".join(parts)


def base_of(facts: Facts) -> str:
    """The base model as code names it: its hub id, or a place to fill in for a local folder."""
    return facts.base if "/" in facts.base else f"YOUR COPY OF {facts.base}"


def target_of(facts: Facts) -> str:
    """The most frequent target text, or a place to fill in."""
    return facts.targets[0] if facts.targets else TARGET


def _webui(facts: Facts) -> str:
    steps = facts.config.sample.steps
    taken = run_steps(facts.schedule, steps, facts.handover)
    prompt = f"{PORTRAIT}[, {target_of(facts)}:{taken - 1}]"
    return _WEBUI.format(steps=steps, switch=int(100 * taken / steps) / 100, prompt=prompt)


def _drawing(facts: Facts) -> Drawing:
    sample = facts.config.sample
    return Drawing(
        pipeline=facts.pipeline,
        base=base_of(facts),
        steps=sample.steps,
        guidance=sample.guidance,
        handover=facts.handover,
        strength=1.0 if facts.strength is None else facts.strength,
        negative=sample.negative,
        precision=sample.precision,
        zero_snr=facts.prediction.zero_snr,
        base_text=PORTRAIT,
        target=target_of(facts),
    )
