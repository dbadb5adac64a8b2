"""Ask the processor early for memory that a kernel will gather from: hides the latency of a scattered order."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

_I8, _I32 = ir.IntType(8), ir.IntType(32)


@intrinsic  # type: ignore[untyped-decorator]
def prefetch(typing: Any, array: Any, row: Any) -> Any:
    """Ask for the cache line of ``array[row, 0]``, which must exist, of a C-contiguous array: a hint, no value."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        view = context.make_array(sig.args[0])(context, builder, args[0])
        columns = cgutils.unpack_tuple(builder, view.shape)[1]
        place = builder.bitcast(builder.gep(view.data, [builder.mul(args[1], columns)]), _I8.as_pointer())
        function_type = ir.FunctionType(ir.VoidType(), [_I8.as_pointer(), _I32, _I32, _I32])
        hint = cgutils.get_or_insert_function(builder.module, function_type, "llvm.prefetch.p0")
        builder.call(hint, [place, _I32(0), _I32(3), _I32(1)])  # for reading, into all levels, data
        return context.get_dummy_value()

    return types.void(array, types.uint64), codegen
