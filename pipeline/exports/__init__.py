"""Finished variants, laid out as other runtimes open them; light: `onnx` and numpy alone, and OpenVINO for its own graphs."""
