"""What a module may use beyond its state: Llama, WeaveDrive, Database."""
