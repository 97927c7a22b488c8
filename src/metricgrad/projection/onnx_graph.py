"""A projection as an ONNX graph, written node by node: it needs the package `onnx` alone."""

from pathlib import Path

from torch import Tensor

from metricgrad._checks import extra

__all__ = ["write_onnx"]

_OPSET, _IR = 17, 8
"""Of 2022: runtimes since then read the graph."""


def write_onnx(path: Path | str, weight: Tensor, bias: Tensor) -> Path:
    """Write LpNormalization -> Gemm -> LpNormalization: `vectors` [row, in] -> `mapped` [row, out], float32."""
    extra("onnx", "onnx", "writing an ONNX graph")
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    arrays = {"weight": weight.float().cpu().numpy(), "bias": bias.float().cpu().numpy()}
    graph = helper.make_graph(
        [
            helper.make_node("LpNormalization", ["vectors"], ["unit"], axis=-1, p=2),
            helper.make_node("Gemm", ["unit", "weight", "bias"], ["affine"], transB=1),
            helper.make_node("LpNormalization", ["affine"], ["mapped"], axis=-1, p=2),
        ],
        "projection",
        [helper.make_tensor_value_info("vectors", TensorProto.FLOAT, ["row", weight.shape[1]])],
        [helper.make_tensor_value_info("mapped", TensorProto.FLOAT, ["row", weight.shape[0]])],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR, producer_name="metricgrad"
    )
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return Path(path)
