/* Activations on the card: value and slope of a float, for the activation op and for what other
 * kernels do to a sum before they store it. The formulas and their accuracy are those of
 * activation_cpu.c: relative, also in the tails, without a branch. Exponentials and reciprocals
 * come from the special function unit, whose error of two units in the last place the limits of
 * the op hold several times.
 *
 *   cz_with_activation(kind, [&](auto k) {
 *     cz_launch("name", kernel<T, decltype(k)::value>, ...);
 *   });
 *
 * and in the kernel cz_activated<KIND>(x), cz_activation_slope_at<KIND>(x). */
#ifndef CZ_KERNELS_ACTIVATION_ACTIVATION_CUH
#define CZ_KERNELS_ACTIVATION_ACTIVATION_CUH

#include "kernels/activation/activation.h"
#include "kernels/common/device.cuh"

/* Host: calls F with the std::integral_constant of KIND. */
template <class F> static inline void cz_with_activation(int kind, F f) {
  switch ((cz_activation_kind)kind) {
#define CZ_KIND(k, name)                                                                           \
  case CZ_ACTIVATION_##k: f(std::integral_constant<int, CZ_ACTIVATION_##k>()); return;
    CZ_ACTIVATION_KINDS(CZ_KIND)
#undef CZ_KIND
  }
  __builtin_trap(); /* the shape rules refuse other kinds */
}

/* exp(x); 0 below -87.3. */
static inline __device__ float cz_exp_fast(float x) { return cz_exp2(1.44269504f * x); }

/* sigmoid(x) and sigmoid(-x), each relatively accurate in its tail: with e = exp(-|x|) they are
 * 1 / (1 + e) and e / (1 + e). */
static inline __device__ void cz_sigmoid(float *yes, float *no, float x) {
  const float e = cz_exp_fast(-fabsf(x)), large = cz_reciprocal(1 + e), small = e * large;
  *yes = x < 0 ? small : large;
  *no = x < 0 ? large : small;
}

/* Near 0 the odd polynomial of Cephes, elsewhere 1 - 2 / (exp(2 |x|) + 1), which would cancel
 * there. */
static inline __device__ float cz_tanh(float x) {
  const float z = x * x;
  float p = -5.70498872745e-3f;
  p = p * z + 2.06390887954e-2f;
  p = p * z - 5.37397155531e-2f;
  p = p * z + 1.33314422036e-1f;
  p = p * z - 3.33332819422e-1f;
  const float large = 1 - 2 * cz_reciprocal(cz_exp_fast(2 * fabsf(x)) + 1);
  return fabsf(x) < 0.625f ? p * z * x + x : x < 0 ? -large : large;
}

/* The standard normal distribution function, given e = exp(-x^2 / 2). Phi(-z) = e t P(t) / 2 with
 * t = 1 / (1 + z / (2 sqrt 2)), P as in common/cpu.h. */
static inline __device__ float cz_normal(float x, float e) {
  const float t = cz_reciprocal(1 + 0.35355339f * fabsf(x));
  float p = 1.228472404e-02f;
  p = p * t - 1.232593060e-01f;
  p = p * t + 4.289392829e-01f;
  p = p * t - 6.700369716e-01f;
  p = p * t + 4.212862551e-01f;
  p = p * t - 9.832399338e-02f;
  p = p * t + 2.255440056e-01f;
  p = p * t + 2.386443913e-01f;
  p = p * t + 2.828570902e-01f;
  p = p * t + 2.820644975e-01f;
  const float tail = 0.5f * e * t * p;
  return x < 0 ? tail : 1 - tail;
}

/* Where sigmoid(2 u) below is still neither 0 nor 1 in float32; further out its cube would
 * overflow. A NaN stays one. */
static inline __device__ float cz_within_12(float x) { return x < -12 ? -12 : x > 12 ? 12 : x; }

/* sigmoid(2 u) and its complement, u = sqrt(2 / pi) (x + 0.044715 x^3). */
static inline __device__ void cz_gelu_tanh_parts(float *s, float *rest, float x) {
  cz_sigmoid(s, rest, 1.5957691f * (x + 0.044715f * x * x * x));
}

/* act(x). A kind without a case does not compile. */
template <int KIND> static inline __device__ float cz_activated(float x) {
  if constexpr (KIND == CZ_ACTIVATION_NONE) {
    return x;
  } else if constexpr (KIND == CZ_ACTIVATION_RELU) {
    return x < 0 ? 0 : x; /* a NaN stays one */
  } else if constexpr (KIND == CZ_ACTIVATION_GELU) {
    return x * cz_normal(x, cz_exp_fast(-0.5f * x * x));
  } else if constexpr (KIND == CZ_ACTIVATION_GELU_TANH) {
    float s, rest;
    cz_gelu_tanh_parts(&s, &rest, cz_within_12(x));
    return x * s;
  } else {
    static_assert(KIND == CZ_ACTIVATION_TANH, "this kind of activation has no value here");
    return cz_tanh(x);
  }
}

/* act'(x), derived in activation_cpu.c. For ReLU x may as well be act(x). A kind without a case
 * does not compile. */
template <int KIND> static inline __device__ float cz_activation_slope_at(float x) {
  if constexpr (KIND == CZ_ACTIVATION_NONE) {
    return 1;
  } else if constexpr (KIND == CZ_ACTIVATION_RELU) {
    return x > 0 ? 1 : x <= 0 ? 0 : x; /* a NaN stays one */
  } else if constexpr (KIND == CZ_ACTIVATION_GELU) {
    const float e = cz_exp_fast(-0.5f * x * x);
    return cz_normal(x, e) + x * 0.39894228f * e; /* Phi + x phi */
  } else if constexpr (KIND == CZ_ACTIVATION_GELU_TANH) {
    const float c = cz_within_12(x);
    float s, rest;
    cz_gelu_tanh_parts(&s, &rest, c);
    return s + c * s * rest * 1.5957691f * (1 + 0.134145f * c * c); /* s + x s (1 - s) 2 u' */
  } else {
    static_assert(KIND == CZ_ACTIVATION_TANH, "this kind of activation has no slope here");
    float s, rest;
    cz_sigmoid(&s, &rest, 2 * x);
    return 4 * s * rest; /* 1 - tanh^2 */
  }
}

#endif
