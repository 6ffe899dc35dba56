"""Makes a .tflite file of exported PyTorch programs: run by the Python of an environment that has litert-torch and no Bigfoot.

    python -I litert_converter.py OUT float|int8 NAME=PROGRAM.pt2 ...

One signature per program, which share their weights. Prints the converter's version as its last line.
"""

import sys
from importlib.metadata import version

import litert_torch
import torch


def main(out: str, precision: str, *programs: str) -> None:
    converter = litert_torch
    for name, path in (program.split("=", 1) for program in programs):
        exported = torch.export.load(path)
        converter = converter.signature(name, exported.module(), sample_kwargs=exported.example_inputs[1])
    converter.convert().export(out)
    if precision == "int8":
        from ai_edge_quantizer import quantizer

        smaller = quantizer.Quantizer(out)
        smaller.add_dynamic_config(regex=".*", operation_name="FULLY_CONNECTED", num_bits=8)
        smaller.quantize().export_model(out, overwrite=True)
    print(f"litert-torch {version('litert-torch')}")


if __name__ == "__main__":
    main(*sys.argv[1:])
