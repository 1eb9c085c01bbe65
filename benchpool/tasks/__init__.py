"""Tasks of lm-evaluation-harness, and tables, compiled into data sets of finished requests.

    yaml_source    a YAML file with the line of everything in it
    task_file      a task and what it includes
    task           what the task says, checked key by key
    templates      Jinja in a sandbox
    records        data files, record by record
    fewshot        which exemplars stand before a question
    requests       a record becomes a question
    compiling      a task and its data become a file
    isolation      the same in a child process with limits
    tables         a table without a task becomes a file
"""
