"""Official data sets with their tasks: where their data is, and what is made of it on this machine.

`datasets.yaml` holds the entries, `tasks/` their tasks; nothing of the data is in here.
"""
