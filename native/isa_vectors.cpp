// The inner loops for one instruction set with vectors. CMakeLists.txt compiles this text once for each, with the flags
// that allow its instructions and BILSTM_SET as its name: avx2, avx512, neon or plain.
#define QUOTED(name) #name
#define HEADER(set) QUOTED(simd_##set.hpp)
#define HEADER_OF(set) HEADER(set)
#include HEADER_OF(BILSTM_SET)
#include "tile.hpp"

#define NAME(set) QUOTED(set)
#define TABLE(set) set##_kernels
#define TABLE_OF(set) TABLE(set)

namespace bilstm {

const Kernels TABLE_OF(BILSTM_SET) = {NAME(BILSTM_SET),
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
