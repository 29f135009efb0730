"""Weights from elsewhere and for elsewhere: XLM-R, ERNIE-M, transformers, ONNX."""
