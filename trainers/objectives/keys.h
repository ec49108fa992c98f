/* The config keys that objectives share, each written once; a row's table lists those
 * that it reads. */
#ifndef CZ_OBJECTIVES_KEYS_H
#define CZ_OBJECTIVES_KEYS_H

#include "objectives/objective.h"

#define CZ_KEYS_LENGTHS                                                                            \
  CZ_KEY(cz_objective_config, inputs_length, INT, .fallback = "512", .min = 3, .max = 65536,       \
         .unit = "tokens", .help = "maximum number of tokens of the inputs, EOS included"),        \
      CZ_KEY(cz_objective_config, targets_length, INT, .fallback = "0", .min = 0, .max = 65536,    \
             .unit = "tokens",                                                                     \
             .help =                                                                               \
                 "maximum number of tokens of the targets, EOS included; 0: the objective's own")

/* CODE: what the released code does for the objective, "joined" or "not joined". */
#define CZ_KEY_CONCATENATE(code)                                                                   \
  CZ_KEY(cz_objective_config, concatenate, ENUM, .fallback = "code",                               \
         .choices = cz_concatenate_names,                                                          \
         .help = "documents are joined before they are cut into pieces (yes), or not (no), or as " \
                 "the released code does it for this objective: " code " (code)")

#define CZ_KEY_FIDELITY                                                                            \
  CZ_KEY(cz_objective_config, fidelity, ENUM, .fallback = "paper", .choices = cz_fidelity_names,   \
         .help = "where the paper and its released code disagree: what the paper says; what the "  \
                 "code does (its caps of targets, spans beyond the sentinels, random tokens that " \
                 "are sentinels); or neither's slips")

#define CZ_KEY_DENSITY(standard, minimum, maximum)                                                 \
  CZ_KEY(cz_objective_config, noise_density, REAL, .fallback = standard, .min = minimum,           \
         .max = maximum, .help = "expected share of the tokens that are noise")

#endif
