// cudasim.h: what kernels are compiled with, in place of a GPU's compiler.
//
//   c++ -std=c++17 -include cudasim.h -x c++ kernels.cu
//
// It includes no system header, so that INFINITY, int32_t or std:: are errors here as they are
// under NVRTC.

#pragma once
#include "language.h"
#include "intrinsics.h"
#include "mathematics.h"
