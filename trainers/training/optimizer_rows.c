#include "training/optimizer_rows.h"
#include "base/nearest.h"

/* eps1 and eps2 are T5's (t5.md 6.2). */
static void fill_adafactor(void *attr, const cz_optimizer_keys *keys,
                           const cz_parts_maximum *maximum) {
  *(cz_adafactor_attr *)attr = (cz_adafactor_attr){.decay_exponent = keys->decay_exponent,
                                                   .clip = keys->clip_threshold,
                                                   .eps1 = 1e-30,
                                                   .eps2 = 1e-3,
                                                   .maximum = *maximum};
}

static void fill_adamw(void *attr, const cz_optimizer_keys *keys, const cz_parts_maximum *maximum) {
  *(cz_adamw_attr *)attr = (cz_adamw_attr){.beta1 = keys->beta1,
                                           .beta2 = keys->beta2,
                                           .eps = keys->epsilon,
                                           .weight_decay = keys->weight_decay,
                                           .maximum = *maximum};
}

static void fill_adamw_scale(void *attr, const cz_optimizer_keys *keys,
                             const cz_parts_maximum *maximum) {
  fill_adamw(attr, keys, maximum);
  ((cz_adamw_attr *)attr)->rms_scale = true;
}

const cz_optimizer_row cz_optimizer_rows[CZ_OPTIMIZERS] = {
#define CZ_OPTIMIZER(id, name, help, op, first, fill, factored, ...)                               \
  [CZ_OPTIMIZER_##id] = {CZ_OP_##op, first, fill, factored, {__VA_ARGS__}},
#include "training/optimizers.def"
#undef CZ_OPTIMIZER
};

const char *const cz_optimizer_names[CZ_OPTIMIZERS + 1] = {
#define CZ_OPTIMIZER(id, name, ...) #name,
#include "training/optimizers.def"
#undef CZ_OPTIMIZER
    NULL};

/** The optimizer called NAME; CZ_EUSAGE that lists the others. */
cz_status cz_optimizer_find(cz_optimizer_name *optimizer, const char *name) {
  size_t i = 0;
  CZ_TRY(cz_find_name(&i, "optimizer", name, cz_optimizer_names, CZ_OPTIMIZERS));
  *optimizer = (cz_optimizer_name)i;
  return CZ_OK;
}
