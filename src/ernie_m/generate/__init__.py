"""What is made from the models and the table of stages: YAML, schema, tables, dvc.yaml."""
