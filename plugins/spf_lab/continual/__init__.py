"""Targets learnt one after another: what each stage adds, forgets and pollutes."""
