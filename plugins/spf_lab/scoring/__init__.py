"""`spf score`: what files of weights pollute, of any trainer, measured against their base model."""
