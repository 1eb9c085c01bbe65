"""Data set processes: `DatasetProcess`, on which a new data set builds, and its parts."""

from processes.dataset.parts import DatasetCard, Prediction, generated_text, most_likely
from processes.dataset.process import DatasetProcess

__all__ = ["DatasetCard", "DatasetProcess", "Prediction", "generated_text", "most_likely"]
