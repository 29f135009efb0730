"""Import and export of weights: XLM-R, ERNIE-M, transformers, ONNX."""
