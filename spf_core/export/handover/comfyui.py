"""The handover as a workflow of ComfyUI.

It is in ComfyUI's API format, which names every input and which the canvas opens too
(Comfy-Org/ComfyUI_frontend, `src/scripts/app.ts`, `isApiJson`). Nodes and their inputs are those of
comfyanonymous/ComfyUI, `nodes.py` and `comfy_extras/nodes_hooks.py`. Shares are of the schedule there:
`percent_to_sigma` of `comfy/model_sampling.py` takes 0.4 for t = 0.6 * 999, and a whole timestep is below 600
where it is at most that. A hook acts on the conditioning it was attached to alone (`comfy/hooks.py`), so that
the negative one has it too.
"""

from typing import Any

from spf_core.export.facts import Facts
from spf_core.export.handover.told import start_of

WORKFLOW = "workflow.json"
Workflow = dict[str, dict[str, Any]]


def workflow(facts: Facts, lora_name: str, base_text: str, target: str) -> Workflow:
    """The nodes by their ids: the base text until the handover, then the LoRA and the complete text.

    `lora_name` is the LoRA file below `models/loras`. The checkpoint is the user's to choose.
    """
    sample, start = facts.config.sample, start_of(facts.handover)
    strength = 1.0 if facts.strength is None else facts.strength
    negative = target if sample.negative == "target" else ""
    nodes: Workflow = {
        "model": _node("CheckpointLoaderSimple", ckpt_name=f"{facts.base.rpartition('/')[2]}.safetensors"),
        "lora": _node("CreateHookLora", lora_name=lora_name, strength_model=strength, strength_clip=strength),
        "off": _node("CreateHookKeyframe", strength_mult=0.0, start_percent=0.0),
        "on": _node("CreateHookKeyframe", strength_mult=1.0, start_percent=start, prev_hook_kf=["off", 0]),
        "scheduled": _node("SetHookKeyframes", hooks=["lora", 0], hook_kf=["on", 0]),
        "tuned": _node(
            "SetClipHooks",
            clip=["model", 1],
            hooks=["scheduled", 0],
            apply_to_conds=True,
            schedule_clip=False,  # the encoder reads the later texts with the whole strength
        ),
        **_texts("base", facts, ["model", 1], base_text, "", 0.0, start),
        **_texts("complete", facts, ["tuned", 0], f"{base_text}, {target}", negative, start, 1.0),
        "positive": _joined("base positive", "complete positive"),
        "negative": _joined("base negative", "complete negative"),
        "noise": _node("EmptyLatentImage", width=facts.image_size, height=facts.image_size, batch_size=1),
        "sampler": _node(
            "KSampler",
            model=["model", 0],
            seed=0,
            steps=sample.steps,
            cfg=sample.guidance,
            sampler_name="ddim",
            scheduler="ddim_uniform",
            positive=["positive", 0],
            negative=["negative", 0],
            latent_image=["noise", 0],
            denoise=1.0,
        ),
        "picture": _node("VAEDecode", samples=["sampler", 0], vae=["model", 2]),
        "save": _node("SaveImage", images=["picture", 0], filename_prefix=facts.title),
    }
    return _numbered(nodes)


def _texts(
    name: str, facts: Facts, clip: list[Any], positive: str, negative: str, start: float, end: float
) -> Workflow:
    """Both texts, encoded by `clip`, from `start` to `end` of the schedule."""
    nodes: Workflow = {}
    for sign, text in (("positive", positive), ("negative", negative)):
        key = f"{name} {sign}"
        nodes[f"{key} text"] = _node("CLIPTextEncode", text=text, clip=clip)
        encoded = f"{key} text"
        if not text and facts.zeros_for_empty:
            nodes[f"{key} zeros"] = _node("ConditioningZeroOut", conditioning=[encoded, 0])
            encoded = f"{key} zeros"
        nodes[key] = _node("ConditioningSetTimestepRange", conditioning=[encoded, 0], start=start, end=end)
    return nodes


def _joined(first: str, second: str) -> dict[str, Any]:
    return _node("ConditioningCombine", conditioning_1=[first, 0], conditioning_2=[second, 0])


def _node(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs}


def _numbered(nodes: Workflow) -> Workflow:
    """The same with numbers as ids, as the canvas has them, and the names as titles."""
    ids = {name: str(number) for number, name in enumerate(nodes, 1)}

    def linked(value: Any) -> Any:
        return [ids[value[0]], value[1]] if isinstance(value, list) else value

    return {
        ids[name]: {
            **node,
            "inputs": {key: linked(value) for key, value in node["inputs"].items()},
            "_meta": {"title": name},
        }
        for name, node in nodes.items()
    }
