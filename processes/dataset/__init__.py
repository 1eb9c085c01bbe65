"""The parts of a data set process. `DatasetProcess` is what a new data set builds on."""
