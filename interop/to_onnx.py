"""A network as an ONNX file, checked with onnxruntime: python -m interop to_onnx MODEL OUT.onnx"""

import warnings
from pathlib import Path

import torch
from torch import Tensor

from interop.card import write_card
from interop.drawable import INPUTS, OUTPUTS, TRACED_BATCH, Export, check_equal, load_export
from interop.locate import find_model
from utils.checkpoints import model_name
from utils.errors import RequestError
from utils.files import atomic_write, check_writable

LARGEST_MODEL = 2**31 - 2**20  # bytes: a message of protobuf holds no more, and the weights are in it


def run(model: str, out: str) -> list[Path]:
    """Writes `out`, the network of `model` (a file, a folder or hf:USER/REPO) with `Drawable`'s inputs and outputs, any batch.

    What drawing needs beside it is in its metadata, as JSON, under "diffusion". RequestError, and nothing written, if
    onnxruntime does not compute what torch does.
    """
    path, out = find_model(model), Path(out)
    if out.suffix != ".onnx":
        raise RequestError(f"{out}: the file's name must end with .onnx")
    check_writable(out.absolute().parent, "OUT.onnx")
    try:
        import onnxruntime
        import onnxscript  # noqa: F401 (torch.onnx needs it, and would say so less plainly)
    except ImportError as error:
        raise RequestError(f"to_onnx needs {error.name}: pip install -r requirements-interop.txt") from None
    export = load_export(path)
    size = sum(tensor.numel() * 4 for tensor in export.module.state_dict().values())
    if size > LARGEST_MODEL:
        raise RequestError(f"{path} holds {size:,} bytes of weights, and an ONNX file 2 GiB at most: to_pt2 has no such limit")
    content = onnx_bytes(export)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors alone
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    def computed(inputs: dict[str, Tensor]) -> list[Tensor]:
        found = session.run(list(OUTPUTS), {name: tensor.numpy() for name, tensor in inputs.items()})
        return [torch.from_numpy(array) for array in found]

    difference = check_equal(export, computed, out)
    with atomic_write(out) as temporary:
        temporary.write_bytes(content)
    print(f"Checked: onnxruntime and torch differ by {difference:.1e} at most, in batches of 1 and 3")
    card = write_card(out.absolute().parent, model_name(path), export.checkpoint, weights=path, files=[out.name])
    return [out, card]


def onnx_bytes(export: Export) -> bytes:
    """The content of the file."""
    inputs = export.example(TRACED_BATCH)
    batch = torch.export.Dim("batch", min=1, max=2**20)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter's own inside
        program = torch.onnx.export(
            export.module,
            kwargs=inputs,
            input_names=[name for name in INPUTS if name in inputs],
            output_names=list(OUTPUTS),
            dynamic_shapes={name: {0: batch} for name in inputs},
            dynamo=True,
            verbose=False,
        )
    proto = program.model_proto
    entry = proto.metadata_props.add()
    entry.key, entry.value = "diffusion", export.about()
    return proto.SerializeToString()
