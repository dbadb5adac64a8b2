"""Look a number up in a row of sixteen with one comparison of vectors, so without a branch to mispredict."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

_I32, _I64 = ir.IntType(32), ir.IntType(64)
_ROW, _MASK = ir.VectorType(_I32, 16), ir.IntType(16)


@intrinsic  # type: ignore[untyped-decorator]
def equal16(typing: Any, array: Any, start: Any, value: Any) -> Any:
    """Bits of the lanes where ``array[start : start + 16]`` equals ``value``; ``array`` is a contiguous (n,) int32."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        view = context.make_array(sig.args[0])(context, builder, args[0])
        place = builder.bitcast(builder.gep(view.data, [args[1]]), _ROW.as_pointer())
        one = builder.insert_element(ir.Constant(_ROW, ir.Undefined), args[2], _I32(0))
        all_lanes = builder.shuffle_vector(one, ir.Constant(_ROW, ir.Undefined), ir.Constant(_ROW, [0] * 16))
        equal = builder.icmp_signed("==", builder.load(place, align=4), all_lanes)
        return builder.zext(builder.bitcast(equal, _MASK), _I64)

    return types.uint64(array, types.uint64, types.int32), codegen


@intrinsic  # type: ignore[untyped-decorator]
def first_bit(typing: Any, mask: Any) -> Any:
    """Index of the lowest set bit of a mask that is not 0."""
    return types.uint64(types.uint64), lambda context, builder, sig, args: builder.cttz(args[0], ir.IntType(1)(1))
