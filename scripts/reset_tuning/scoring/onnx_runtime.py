"""An NLI model under onnxruntime, on a CPU faster than under torch. Its packages are optional."""

import tempfile
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from reset_tuning.errors import InputError

_OPSET = 17

Logits = Callable[[Mapping[str, torch.Tensor]], torch.Tensor]


def exported(model: Any, inputs: Mapping[str, torch.Tensor], threads: int) -> Logits:
    """Return a function from a model's inputs to its logits, [rows, labels] float32.

    `inputs` are an example. Raises InputError when the packages are missing.
    """
    try:
        import onnx  # noqa: F401  what torch's export needs
        import onnxruntime
    except ImportError as error:
        raise InputError(
            f"runtime onnxruntime needs two more packages ({error}): run `pip install onnx==1.23.2 "
            "onnxruntime==1.31.1`, or set the metric's runtime to torch"
        ) from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        _export(model, inputs, file)
        session = onnxruntime.InferenceSession(file.read_bytes(), options)

    def logits(batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        arrays = {name: tensor.numpy() for name, tensor in batch.items()}
        return torch.from_numpy(session.run(None, arrays)[0])

    return logits


class _Positional(torch.nn.Module):
    """A model that takes its named inputs by position, as the export calls it."""

    def __init__(self, model: Any, names: list[str]) -> None:
        super().__init__()
        self.model = model
        self._names = names

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        return self.model(**dict(zip(self._names, tensors, strict=True))).logits


def _export(model: Any, inputs: Mapping[str, torch.Tensor], file: Path) -> None:
    names = list(inputs)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of traced branches: the first pairs of a job are compared
        torch.onnx.export(
            _Positional(model, names).eval(),
            tuple(inputs.values()),
            str(file),
            input_names=names,
            output_names=["logits"],
            dynamic_axes={name: {0: "rows", 1: "tokens"} for name in names},
            opset_version=_OPSET,
            dynamo=False,
        )
