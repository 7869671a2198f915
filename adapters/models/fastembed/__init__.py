"""Local ONNX models through fastembed."""
