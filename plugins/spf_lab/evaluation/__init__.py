"""How far a target was learnt, and what else changed: quadruples, purity scores, statistics, reports."""
