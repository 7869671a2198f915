"""Models in ONNX form on this machine, over fastembed."""
