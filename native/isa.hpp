// Which instruction set runs: the best that the processor has, or the one that BILSTM_ISA names.
#pragma once

#include <string>
#include <vector>

namespace bilstm {

// Those that this processor can run, best first: of "avx512", "avx2", "neon", "plain".
std::vector<std::string> isas();

// The one that the next call takes. Throws std::invalid_argument where BILSTM_ISA names none of isas().
std::string isa();

// The one that ran last in this process; empty before the first run.
std::string last_isa();

}  // namespace bilstm
