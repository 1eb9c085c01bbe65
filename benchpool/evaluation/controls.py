"""Controls: a question asked another way, to see what of a score the question itself has earned.

A model that picks the right answer without context and question knows how right answers look; one
that picks another answer when only their order changed has picked a letter. Source of the first:
Gururangan et al., "Annotation Artifacts in Natural Language Inference Data", NAACL 2018.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from benchpool.evaluation.sample import Sample

ANSWERS_ONLY: Final = "answers-only"
REORDERED: Final = "reordered"
CONTROLS: Final = (ANSWERS_ONLY, REORDERED)


def controlled(sample: Sample, control: str) -> Sample:
    """Return a question as a control asks it.

    Args:
        sample: the question.
        control: one of ``CONTROLS``; the empty text leaves the question as it is.

    Returns:
        For ``answers-only`` the choices alone; for ``reordered`` the last choice stands first,
        so that no choice keeps its letter.
    """
    if control == ANSWERS_ONLY:
        return replace(sample, context="", question="")
    if control == REORDERED:
        *others, last = sample.choices
        gold = sample.gold % len(sample.choices) + 1
        return replace(sample, choices=(last, *others), gold=gold)
    return sample
