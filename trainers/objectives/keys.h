/* The config keys that objectives share, each written once; a row's table lists those
 * that it reads. */
#ifndef CZ_OBJECTIVES_KEYS_H
#define CZ_OBJECTIVES_KEYS_H

#include "objectives/objective.h"

#define CZ_KEY_INPUTS_LENGTH(which)                                                                \
  CZ_KEY(cz_objective_config, inputs_length, INT, .fallback = "512", .min = 3, .max = 65536,       \
         .unit = "tokens", .help = "maximum number of tokens of the inputs, " which " included")

#define CZ_KEYS_LENGTHS                                                                            \
  CZ_KEY_INPUTS_LENGTH("EOS"),                                                                     \
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

/* How tokens are masked (masking.h). */
#define CZ_KEYS_MASKING                                                                            \
  CZ_KEY(cz_objective_config, random_token_probability, REAL, .fallback = "0.1", .min = 0,         \
         .max = 1, .help = "share of the chosen tokens that becomes random ones"),                 \
      CZ_KEY(cz_objective_config, kept_token_probability, REAL, .fallback = "0.1", .min = 0,       \
             .max = 1,                                                                             \
             .help = "share of the chosen tokens that stays as it is; the rest becomes the mask "  \
                     "token"),                                                                     \
      CZ_KEY(cz_objective_config, fidelity, ENUM, .fallback = "paper",                             \
             .choices = cz_fidelity_names,                                                         \
             .help = "which tokens may be chosen: none with a role of its own (paper, "            \
                     "corrected); or all but those around a text (code)")

#endif
