"""Evaluating models without a pool: the same engines, answers and scores, and no network."""
