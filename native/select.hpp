// From the name of an instruction set to its table of functions; for the core itself.
#pragma once

#include <string>

#include "isa.hpp"
#include "kernels.hpp"

namespace bilstm {

const Kernels& select();                // the one that the next call takes
void ran(const Kernels& kernels);       // note that it did
int number_of(const Kernels& kernels);  // its place among isas(), so that a reserve can tell who filled it
const Kernels& by_number(int number);
const Kernels& by_name(const std::string& name);  // throws std::invalid_argument

}  // namespace bilstm
