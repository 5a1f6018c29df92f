"""Whether a SavedModel does nothing but arithmetic: it is a program, and could as well read and write files.

The graph and its functions are read, not run. Only operations that compute are allowed, and those that save
and restore the variables, where nothing that answers a request can call them.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from google.protobuf.message import DecodeError
from tensorflow.core.framework.node_def_pb2 import NodeDef
from tensorflow.core.protobuf.meta_graph_pb2 import MetaGraphDef
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from extmap_tf.errors import DataError
from extmap_tf.files import CHECKSUMS_NAME, verify_checksums
from extmap_tf.model.versions import EXTRA

# Of a network that somebody adds, too: element by element, sums and sorting, linear algebra, layers, shapes,
# strings and records in memory, control flow, random numbers without state, variables.
_NAMES = """
Abs Acos Acosh Add AddN AddV2 All Angle Any ApproximateEqual ArgMax ArgMin AsString Asin Asinh Assert
AssignVariableOp Atan Atan2 Atanh AvgPool AvgPool3D BatchMatMul BatchMatMulV2 BatchMatMulV3 BatchToSpaceND
BesselI0e BesselI1e Betainc BiasAdd Bincount Bitcast BitwiseAnd BitwiseOr BitwiseXor BroadcastArgs
BroadcastTo Bucketize Case Cast Ceil Cholesky ClipByValue Complex ComplexAbs Concat ConcatV2
ConcatenateDataset Conj Const Conv2D Conv2DBackpropInput Conv3D Cos Cosh Cross Cumprod Cumsum
CumulativeLogsumexp DatasetToSingleElement DecodeRaw DenseBincount DepthToSpace DepthwiseConv2dNative Diag
DiagPart Digamma DisableCopyOnRead Div DivNoNan Einsum Elu EmptyTensorList EnsureShape Equal Erf Erfc
Erfinv Exp ExpandDims Expm1 FFT FFT2D Fill Floor FloorDiv FloorMod FusedBatchNorm FusedBatchNormV2
FusedBatchNormV3 Gather GatherNd GatherV2 Greater GreaterEqual HistogramFixedWidth IFFT IFFT2D IRFFT
IRFFT2D Identity IdentityN If Igamma Igammac IgnoreErrorsDataset Imag InTopKV2 Inv Invert
InvertPermutation IsFinite IsInf IsNan L2Loss LRN LeakyRelu LeftShift Less LessEqual Lgamma LinSpace Log
Log1p LogSoftmax LogicalAnd LogicalNot LogicalOr LowerBound MapDataset MatMul MatrixBandPart
MatrixDeterminant MatrixDiag MatrixDiagPart MatrixDiagPartV3 MatrixDiagV3 MatrixInverse MatrixSetDiag
MatrixSetDiagV3 MatrixSolve MatrixSolveLs MatrixTriangularSolve Max MaxPool MaxPool3D MaxPoolV2 Maximum
Mean Median Min Minimum MirrorPad Mod Mul MulNoNan Ndtri Neg NextAfter NoOp NotEqual OneHot OnesLike Pack
Pad PadV2 ParseExampleV2 ParseSingleExample PartitionedCall Placeholder PlaceholderWithDefault Polygamma
Pow PreventGradient Prod Qr RFFT RFFT2D RaggedBincount RaggedRange RaggedTensorToTensor Range Rank
ReadVariableOp Real RealDiv RebatchDatasetV2 Reciprocal ReduceJoin RegexFullMatch Relu Relu6 Reshape
ResizeBilinear ResizeNearestNeighbor Reverse ReverseV2 RightShift Rint Roll Round Rsqrt ScatterNd
SearchSorted SegmentMax SegmentMean SegmentMin SegmentProd SegmentSum Select SelectV2 SelfAdjointEigV2
Selu Shape ShapeN ShardedFilename Sigmoid Sign Sin Sinh Size Slice Softmax Softplus Softsign
SpaceToBatchND SpaceToDepth SparseToDense Split SplitV Sqrt Square SquaredDifference Squeeze
StatefulPartitionedCall StatelessCase StatelessIf StatelessMultinomial StatelessRandomBinomial
StatelessRandomGammaV2 StatelessRandomGammaV3 StatelessRandomGetAlg StatelessRandomGetKeyCounter
StatelessRandomGetKeyCounterAlg StatelessRandomNormal StatelessRandomNormalV2 StatelessRandomPoisson
StatelessRandomUniform StatelessRandomUniformInt StatelessRandomUniformIntV2 StatelessRandomUniformV2
StatelessShuffle StatelessTruncatedNormal StatelessTruncatedNormalV2 StatelessWhile StaticRegexFullMatch
StopGradient StridedSlice StringJoin StringLength StringStrip StringToNumber Sub Substr Sum Svd
TakeDataset Tan Tanh TensorDataset TensorListConcatV2 TensorListElementShape TensorListFromTensor
TensorListGather TensorListGetItem TensorListLength TensorListPopBack TensorListPushBack TensorListReserve
TensorListResize TensorListScatterV2 TensorListSetItem TensorListStack TensorScatterAdd TensorScatterMax
TensorScatterMin TensorScatterSub TensorScatterUpdate TensorSliceDataset Tile TopKV2 Transpose TruncateDiv
TruncateMod Unique UniqueV2 Unpack UnsortedSegmentMax UnsortedSegmentMin UnsortedSegmentProd
UnsortedSegmentSum UpperBound VarHandleOp VarIsInitializedOp Where While Xdivy Xlog1py Xlogy ZerosLike
Zeta
"""
_ALLOWED = frozenset(_NAMES.split())
_CHECKPOINT = frozenset(("MergeV2Checkpoints", "RestoreV2", "SaveV2"))
_MAX_BYTES = 256 << 20


def require_trusted(folder: str | os.PathLike) -> None:
    """Raise DataError unless a version folder is as it was exported and its graph only computes.

    Parameters
    ----------
    folder : path-like
        A version folder of a SavedModel. Where it has SHA256SUMS, its files must agree with them.
    """
    folder = Path(folder)
    if (folder / EXTRA / CHECKSUMS_NAME).is_file():
        verify_checksums(folder, EXTRA)
    unknown = sorted(odd_operations(_meta_graph(folder)))
    if unknown:
        more = f" and {len(unknown) - 4} more" if len(unknown) > 4 else ""
        raise DataError(
            f"{folder}: its graph has operations that extmap_tf's do not have, and could read or write files "
            f"({', '.join(unknown[:4])}{more}): use it only if you trust who made it, with --trust-model"
        )


def odd_operations(graph: MetaGraphDef) -> set[str]:
    """Operations of a SavedModel's graph that do more than compute.

    Saving and restoring the variables is allowed in functions that no other function and no signature calls:
    they run when a model is saved, never for a request.
    """
    functions = {function.signature.name: function for function in graph.graph_def.library.function}
    called = set(_concrete_functions(graph))
    for function in functions.values():
        called |= set(_called(function.node_def))
        if "api_implements" in function.attr:
            # TensorFlow may put another function with the same mark in its place.
            called.add(function.signature.name)
    allowed = _ALLOWED | functions.keys()
    found = {node.op for node in graph.graph_def.node} - allowed
    for name, function in functions.items():
        also = frozenset() if name in called else _CHECKPOINT
        found |= {node.op for node in function.node_def} - allowed - also
    return found


def _meta_graph(folder: Path) -> MetaGraphDef:
    path, model = folder / "saved_model.pb", SavedModel()
    # TensorFlow would take such a file in place of the one that is looked at here.
    for other in ("saved_model.cpb", "saved_model.pbtxt"):
        if (folder / other).exists():
            raise DataError(f"{folder / other}: no file of 'extmap-tf export': export the model again")
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise DataError(f"{path}: longer than {_MAX_BYTES >> 20} MiB: no model of 'extmap-tf export'")
        model.ParseFromString(path.read_bytes())
    except (OSError, DecodeError) as error:
        raise DataError(f"{folder}: cannot be loaded as a SavedModel: {error}") from None
    if len(model.meta_graphs) != 1 or not model.meta_graphs[0].HasField("object_graph_def"):
        raise DataError(f"{folder}: cannot be loaded as a SavedModel: not one of 'extmap-tf export'")
    return model.meta_graphs[0]


def _concrete_functions(graph: MetaGraphDef) -> Iterator[str]:
    objects = graph.object_graph_def
    yield from objects.concrete_functions
    for node in objects.nodes:
        yield from node.function.concrete_functions
        yield node.bare_concrete_function.concrete_function_name


def _called(nodes: Iterable[NodeDef]) -> Iterator[str]:
    for node in nodes:
        yield node.op
        for value in node.attr.values():
            yield value.func.name
            yield from (func.name for func in value.list.func)
