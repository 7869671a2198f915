"""The filter language: syntax tree, parser, evaluator and normal form."""
