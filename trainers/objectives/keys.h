/* The config keys that objectives share, each written once; a row's table lists those
 * that it reads. */
#ifndef CZ_OBJECTIVES_KEYS_H
#define CZ_OBJECTIVES_KEYS_H

#include "objectives/objective.h"

#include <stddef.h>

#define CZ_OBJECTIVE_KEY(key, kind, ...)                                                           \
  { .name = #key, .type = kind, .offset = offsetof(cz_objective_config, key), __VA_ARGS__ }

#define CZ_KEYS_LENGTHS                                                                            \
  CZ_OBJECTIVE_KEY(inputs_length, CZ_KEY_INT, .fallback = "512", .min = 3, .max = 65536,           \
                   .unit = "tokens", .help = "most tokens of the inputs, EOS included"),           \
      CZ_OBJECTIVE_KEY(targets_length, CZ_KEY_INT, .fallback = "0", .min = 0, .max = 65536,        \
                       .unit = "tokens",                                                           \
                       .help = "most tokens of the targets, EOS included; 0: the objective's own")

#define CZ_KEY_FIDELITY                                                                            \
  CZ_OBJECTIVE_KEY(fidelity, CZ_KEY_ENUM, .fallback = "paper", .choices = cz_fidelity_names,       \
                   .help = "where the paper and its released code disagree: what the paper says; " \
                           "what the code does (its caps of targets, spans beyond "                \
                           "the sentinels, random tokens that are sentinels); or neither's slips")

#define CZ_KEY_DENSITY(standard, least, most)                                                      \
  CZ_OBJECTIVE_KEY(noise_density, CZ_KEY_REAL, .fallback = standard, .min = least, .max = most,    \
                   .help = "expected share of the tokens that are noise")

#endif
