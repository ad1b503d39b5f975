"""Distances that make up the pollution, one per part of it, and scores of the literature beside them."""
