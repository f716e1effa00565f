"""Networks in ONNX files as differentiable PyTorch modules."""
