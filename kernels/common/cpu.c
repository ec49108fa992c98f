#include "kernels/common/cpu.h"

#include <stdio.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

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

#if defined(__x86_64__)
/* Bit 0: AVX-512's registers, bit 1: AMX's tiles, which the system must save for a program. */
static unsigned saved_by_system(void) {
  unsigned a, b, c, d, low, high;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !(c >> 27 & 1)) return 0;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (unsigned)((low & 0xe6) == 0xe6) | (unsigned)((low >> 17 & 3) == 3) << 1;
}

static unsigned leaf(unsigned number, unsigned sub, int reg) {
  unsigned r[4] = {0};
  return __get_cpuid_count(number, sub, &r[0], &r[1], &r[2], &r[3]) ? r[reg] : 0;
}

enum { EAX, EBX, ECX, EDX };

static bool has_avx2(void) { return leaf(7, 0, EBX) >> 5 & 1; }
static bool has_avx512(void) { return saved_by_system() & 1 && (leaf(7, 0, EBX) >> 16 & 1); }
static bool has_avx512_bf16(void) { return has_avx512() && (leaf(7, 1, EAX) >> 5 & 1); }
static bool has_amx(int bit) {
  return saved_by_system() == 3 && (leaf(7, 0, EDX) >> 24 & 1) && (leaf(7, 0, EDX) >> bit & 1);
}
static bool has_amx_bf16(void) { return has_amx(22); }
static bool has_amx_int8(void) { return has_amx(25); }
#else
static bool has_avx2(void) { return false; }
static bool has_avx512(void) { return false; }
static bool has_avx512_bf16(void) { return false; }
static bool has_amx_bf16(void) { return false; }
static bool has_amx_int8(void) { return false; }
#endif

/** The instruction sets of this processor that bear on products, as cpuid and the operating
 * system have them: some of avx2, avx512f, avx512_bf16, amx_bf16, amx_int8, with spaces between;
 * "none" without any. Static. */
const char *cz_cpu_extensions(void) {
  static char text[64];
  char found[sizeof text];
  snprintf(found, sizeof found, "%s%s%s%s%s", has_avx2() ? " avx2" : "",
           has_avx512() ? " avx512f" : "", has_avx512_bf16() ? " avx512_bf16" : "",
           has_amx_bf16() ? " amx_bf16" : "", has_amx_int8() ? " amx_int8" : "");
  snprintf(text, sizeof text, "%s", found[0] ? found + 1 : "none");
  return text;
}

/** Whether it has instructions that multiply bfloat16. */
bool cz_cpu_has_bf16(void) { return has_avx512_bf16() || has_amx_bf16(); }
