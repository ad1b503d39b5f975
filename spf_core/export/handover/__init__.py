"""The handover of a run in other programs: in words, as code for diffusers, as a workflow of ComfyUI."""
