"""What extraction and reconciliation by a language model share: reading answers nobody may trust.

Nothing here calls a model. The modules beside this one cut conversations into calls, fence them
in, and take a model's answer apart.
"""
