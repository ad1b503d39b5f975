"""Pictures from a backbone: the sampler, the handover between two models, several runs at once."""
