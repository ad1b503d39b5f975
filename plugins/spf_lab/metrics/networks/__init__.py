"""Networks whose weights are not part of this project, read from safetensors, frozen, float32."""
