"""Tasks of lm-evaluation-harness, and tables, compiled into data sets of finished requests.

In the order of work: `yaml_source` and `task_file` read a task, `task` checks it key by key,
`records` and `columnar` read data, `templates`, `fewshot` and `requests` make questions of it.
`compiling` does all of this, `isolation` does it in the `child` process; `tables` needs no task.
"""
