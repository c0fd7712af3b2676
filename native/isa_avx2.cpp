// The inner loops for one instruction set; CMakeLists.txt compiles this file, and no other, for it.
#include "simd_avx2.hpp"
#include "tile.hpp"

namespace bilstm {

const Kernels avx2_kernels = {"avx2",
                                 LANES,
                                 96,
                                 column,
                                 no_scratch,
                                 weight_scratch,
                                 project,
                                 step,
                                 step_back,
                                 multiply,
                                 weight_gradient,
                                 pack_gates,
                                 unpack_gates,
                                 pack_panels,
                                 spin};

}  // namespace bilstm
