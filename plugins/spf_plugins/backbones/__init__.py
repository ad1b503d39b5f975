"""Plugin group backbones."""
