"""`spf score`: what files of weights change besides their target, measured against their base model."""
