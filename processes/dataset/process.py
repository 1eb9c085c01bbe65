"""DatasetProcess: the base of the processes that hold a data set and evaluate models on it.

A data set of your own overrides what differs of six parts; see `processes.dataset.parts` and
docs/build-a-dataset.md.
"""

from processes.dataset.answering import Answering
from processes.dataset.asking import Asking
from processes.dataset.registration import DatasetRegistration


class DatasetProcess(Answering, Asking, DatasetRegistration):
    """Loads questions, asks models, keeps scores. Its six parts are those of `DatasetParts`."""
