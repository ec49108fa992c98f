#include "kernels/common/cpu.h"

/** Which of its clones a CZ_CLONES function runs here: the x86-64 level that the loader
 * chose by the processor's features, or "baseline", the only one where no clones are
 * built. Rounding differs between them: from x86-64-v3 on a product and a sum are one
 * rounding (FMA), and wider vectors add in another order. */
const char *cz_cpu_instructions(void) {
#if CZ_HAVE_CLONES
  __builtin_cpu_init();
  if (__builtin_cpu_supports("x86-64-v4")) return "x86-64-v4";
  if (__builtin_cpu_supports("x86-64-v3")) return "x86-64-v3";
#endif
  return "baseline";
}
