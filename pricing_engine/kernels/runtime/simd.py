"""Eight lanes as a value that kernels can compute with: ``F8`` (float32), ``D8`` (float64); masks as plain integers.

LLVM does not vectorise the irregular loops of a tree search, so the box test of eight children and the tests of the
eight facets of a leaf are written in vectors by hand. An ``F8`` is an LLVM ``<8 x float>`` (one AVX register; pairs of
SSE or NEON registers elsewhere, with the same bits), a ``D8`` twice that: ``+ - * /`` work lane by lane, ``fma8``,
``min8``, ``max8`` and ``sqrt8`` map to single instructions, comparisons return a mask in the low eight bits of an
int64. Also a lookup in a row of sixteen by one comparison (:func:`equal16`), and a hint to load memory early
(:func:`prefetch`).
"""

from __future__ import annotations

import operator
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

_LANES, _ROW16 = ir.VectorType(ir.IntType(1), 8), ir.VectorType(ir.IntType(32), 16)
_I64, _I32, _I8 = ir.IntType(64), ir.IntType(32), ir.IntType(8)


class _Eight(types.Type):
    @property
    def vector(self) -> ir.VectorType:
        return ir.VectorType(ir.FloatType() if self.name == "F8" else ir.DoubleType(), 8)


F8, D8 = _Eight("F8"), _Eight("D8")


@register_model(_Eight)
class _EightModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: Any) -> None:
        super().__init__(dmm, fe_type, fe_type.vector)


class _LaneByLane(AbstractTemplate):
    def generic(self, args: Any, kws: Any) -> Any:
        return signature(args[0], *args) if args in ((F8, F8), (D8, D8)) else None


def _register(operation: Any, instruction: str) -> None:
    infer_global(operation)(type(f"_Eight_{instruction}", (_LaneByLane,), {"key": operation}))

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return getattr(builder, instruction)(*args)

    for lanes in (F8, D8):
        lower_builtin(operation, lanes, lanes)(lower)


for _operation, _instruction in (
    (operator.add, "fadd"),
    (operator.sub, "fsub"),
    (operator.mul, "fmul"),
    (operator.truediv, "fdiv"),
):
    _register(_operation, _instruction)


def _of(scalar: Any) -> Any:
    return F8 if scalar == types.float32 else D8


def _splat(builder: Any, x: Any) -> Any:
    none = ir.Constant(ir.VectorType(x.type, 8), ir.Undefined)
    one = builder.insert_element(none, x, _I32(0))
    return builder.shuffle_vector(one, none, ir.Constant(ir.VectorType(_I32, 8), [0] * 8))


def _call(builder: Any, name: str, *args: Any) -> Any:
    vector = args[0].type
    suffix = ".v8f32" if vector == F8.vector else ".v8f64"
    function_type = ir.FunctionType(vector, [vector] * len(args))
    return builder.call(cgutils.get_or_insert_function(builder.module, function_type, name + suffix), args)


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, row: Any, index: Any) -> Any:
    """Address of ``array[row, index]``, without bounds and without the check for negative indices."""
    view = context.make_array(array_type)(context, builder, array)
    if row is not None:
        index = builder.add(builder.mul(row, cgutils.unpack_tuple(builder, view.shape)[1]), index)
    return builder.bitcast(builder.gep(view.data, [index]), _of(array_type.dtype).vector.as_pointer())


@intrinsic
def load8(typing: Any, array: Any, row: Any, index: Any) -> Any:
    """``array[row, index : index + 8]`` of a C-contiguous (rows, n) float32 or float64 array."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.load(_pointer(context, builder, sig.args[0], *args), align=4)

    return _of(array.dtype)(array, types.int64, types.int64), codegen


@intrinsic
def store8(typing: Any, array: Any, index: Any, lanes: Any) -> Any:
    """``array[index : index + 8] = lanes`` in a contiguous (n,) array of the lanes' own type."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        builder.store(args[2], _pointer(context, builder, sig.args[0], args[0], None, args[1]), align=4)
        return context.get_dummy_value()

    return types.void(array, types.int64, lanes), codegen


@intrinsic
def splat8(typing: Any, x: Any) -> Any:
    """``x`` (float32 or float64) in all lanes."""
    return _of(x)(x), lambda context, builder, sig, args: _splat(builder, args[0])


@intrinsic
def double8(typing: Any, a: Any) -> Any:
    """Convert an ``F8`` to ``D8``."""
    return D8(a), lambda context, builder, sig, args: builder.fpext(args[0], D8.vector)


@intrinsic
def single8(typing: Any, a: Any) -> Any:
    """Round a ``D8`` to ``F8``."""
    return F8(a), lambda context, builder, sig, args: builder.fptrunc(args[0], F8.vector)


@intrinsic
def fma8(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """Return ``a * b + c``, rounded once."""
    return a(a, a, a), lambda context, builder, sig, args: _call(builder, "llvm.fma", *args)


@intrinsic
def sqrt8(typing: Any, a: Any) -> Any:
    """Square roots."""
    return a(a), lambda context, builder, sig, args: _call(builder, "llvm.sqrt", *args)


@intrinsic
def abs8(typing: Any, a: Any) -> Any:
    """Absolute values."""
    return a(a), lambda context, builder, sig, args: _call(builder, "llvm.fabs", *args)


def _extreme(comparison: str) -> Any:
    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.select(builder.fcmp_ordered(comparison, args[0], args[1]), args[0], args[1])

    return codegen


@intrinsic
def min8(typing: Any, a: Any, b: Any) -> Any:
    """Return the smaller; ``b`` where either is NaN."""
    return a(a, a), _extreme("<")


@intrinsic
def max8(typing: Any, a: Any, b: Any) -> Any:
    """Return the larger; ``b`` where either is NaN."""
    return a(a, a), _extreme(">")


def _compare(comparison: str) -> Any:
    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        lanes = builder.fcmp_ordered(comparison, args[0], args[1])
        return builder.zext(builder.bitcast(lanes, _I8), _I64)

    return codegen


@intrinsic
def less8(typing: Any, a: Any, b: Any) -> Any:
    """Mask of the lanes with ``a < b`` (never where either is NaN)."""
    return types.int64(a, a), _compare("<")


@intrinsic
def at_most8(typing: Any, a: Any, b: Any) -> Any:
    """Mask of the lanes with ``a <= b`` (never where either is NaN)."""
    return types.int64(a, a), _compare("<=")


@intrinsic
def equal8(typing: Any, a: Any, b: Any) -> Any:
    """Mask of the lanes with ``a == b`` (never where either is NaN)."""
    return types.int64(a, a), _compare("==")


@intrinsic
def select8(typing: Any, mask: Any, a: Any, b: Any) -> Any:
    """Lanes of ``a`` where the mask's bit is set, of ``b`` elsewhere."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.select(builder.bitcast(builder.trunc(args[0], _I8), _LANES), args[1], args[2])

    return a(types.int64, a, a), codegen


@intrinsic
def lowest_bit(typing: Any, mask: Any) -> Any:
    """Index of the lowest set bit of a mask that is not 0."""
    return types.int64(types.int64), lambda context, builder, sig, args: builder.cttz(args[0], ir.IntType(1)(1))


@intrinsic
def count_bits(typing: Any, mask: Any) -> Any:
    """How many bits of a mask are set."""
    return types.int64(types.int64), lambda context, builder, sig, args: builder.ctpop(args[0])


@intrinsic
def lowest8(typing: Any, a: Any) -> Any:
    """Return the least lane of lanes none of which is NaN: much quicker than :func:`least8`."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        vector = args[0].type
        name = "llvm.vector.reduce.fmin." + ("v8f32" if vector == F8.vector else "v8f64")
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(vector.element, [vector]), name)
        return builder.call(function, args, fastmath=("nnan",))

    return (types.float32 if a == F8 else types.float64)(a), codegen


@intrinsic
def least8(typing: Any, a: Any) -> Any:
    """Return the least lane; lanes that are NaN are passed over."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        vector = args[0].type
        name = "llvm.vector.reduce.fmin." + ("v8f32" if vector == F8.vector else "v8f64")
        return builder.call(
            cgutils.get_or_insert_function(builder.module, ir.FunctionType(vector.element, [vector]), name), args
        )

    return (types.float32 if a == F8 else types.float64)(a), codegen


@intrinsic
def equal16(typing: Any, array: Any, start: Any, value: Any) -> Any:
    """Mask of the lanes where ``array[start : start + 16]`` equals ``value``; ``array`` is a contiguous (n,) int32.

    One comparison of vectors: no branch to mispredict.
    """

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        view = context.make_array(sig.args[0])(context, builder, args[0])
        place = builder.bitcast(builder.gep(view.data, [args[1]]), _ROW16.as_pointer())
        one = builder.insert_element(ir.Constant(_ROW16, ir.Undefined), args[2], _I32(0))
        all_lanes = builder.shuffle_vector(one, ir.Constant(_ROW16, ir.Undefined), ir.Constant(_ROW16, [0] * 16))
        equal = builder.icmp_signed("==", builder.load(place, align=4), all_lanes)
        return builder.zext(builder.bitcast(equal, ir.IntType(16)), _I64)

    return types.uint64(array, types.uint64, types.int32), codegen


@intrinsic
def first_bit(typing: Any, mask: Any) -> Any:
    """:func:`lowest_bit` of an unsigned mask, unsigned: an index without the check for negative ones."""
    return types.uint64(types.uint64), lambda context, builder, sig, args: builder.cttz(args[0], ir.IntType(1)(1))


@intrinsic
def prefetch(typing: Any, array: Any, row: Any) -> Any:
    """Load the cache line of ``array[row, 0]``, which must exist, of a C-contiguous array: a hint, no value.

    Issued some iterations before a gather, it hides the latency of a scattered order.
    """

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        view = context.make_array(sig.args[0])(context, builder, args[0])
        columns = cgutils.unpack_tuple(builder, view.shape)[1]
        place = builder.bitcast(builder.gep(view.data, [builder.mul(args[1], columns)]), _I8.as_pointer())
        function_type = ir.FunctionType(ir.VoidType(), [_I8.as_pointer(), _I32, _I32, _I32])
        hint = cgutils.get_or_insert_function(builder.module, function_type, "llvm.prefetch.p0")
        builder.call(hint, [place, _I32(0), _I32(3), _I32(1)])  # for reading, into all levels, data
        return context.get_dummy_value()

    return types.void(array, types.uint64), codegen
