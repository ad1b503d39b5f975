"""Measuring, as plugins with commands of their own: evaluation, benchmarks, studies and reports."""
