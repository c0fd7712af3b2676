// From the name of an instruction set to its table of functions; for the core itself.
#pragma once

#include "isa.hpp"
#include "kernels.hpp"

namespace bilstm {

struct Use {  // what the choice depends on, beside the processor and BILSTM_ISA
    bool training, bf16;
    int64_t hidden, rows;  // units, and rows of a step on average
};

const Kernels& select(const Use& use);
void ran(const Kernels& kernels);       // note that it did
int number_of(const Kernels& kernels);  // its place among isas(), so that a reserve can tell who filled it
const Kernels& by_number(int number);
const Kernels& best();                   // BILSTM_ISA's, or the processor's best

}  // namespace bilstm
