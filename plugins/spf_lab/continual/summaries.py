"""What a sequence of K stages comes to: pure functions of matrices over stages and targets.

Suffixes: K stages, I targets in the order of learning (as many), R replicates, the sample's own value first.
Entry [k, i] is target i after stage k; NaN where it was not judged.
"""

import numpy as np

from spf_lab.evaluation.purity import Floats


def average_effect(effect_KIR: Floats) -> Floats:
    """mean_i E[K, i]: what can be asked for after the last stage."""
    return np.asarray(effect_KIR[-1].mean(axis=0))


def forgetting(effect_KIR: Floats) -> Floats:
    """mean_{i<K} (max_{k<K} E[k, i] - E[K, i]): the effect lost since it was strongest."""
    best_IR = np.fmax.reduce(effect_KIR[:-1], axis=0)[:-1]
    return np.asarray((best_IR - effect_KIR[-1, :-1]).mean(axis=0))


def backward_transfer(effect_KIR: Floats) -> Floats:
    """mean_{i<K} (E[K, i] - E[i, i]): the effect gained since the target was learnt; below 0 it was lost."""
    learnt_IR = np.stack([effect_KIR[i, i] for i in range(len(effect_KIR) - 1)])
    return np.asarray((effect_KIR[-1, :-1] - learnt_IR).mean(axis=0))


def slope(values_KR: Floats) -> Floats:
    """The least-squares slope of a value per stage."""
    centred_K = np.arange(len(values_KR)) - (len(values_KR) - 1) / 2
    return np.asarray(np.tensordot(centred_K, values_KR, axes=1) / (centred_K**2).sum())


def over_learned(values_KIR: Floats) -> Floats:
    """K x R means over the targets learned by each stage."""
    return np.stack([values_KIR[k, : k + 1].mean(axis=0) for k in range(len(values_KIR))])


def order_spread(several_OR: Floats) -> Floats:
    """The standard deviation over orders, of each replicate; NaN for a single one."""
    if len(several_OR) < 2:
        return np.full(several_OR.shape[1], np.nan)
    return np.asarray(several_OR.std(axis=0, ddof=1))
