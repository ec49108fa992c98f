/* Optimizers and schedules: which op updates a parameter, which state it keeps, and at
 * what rate. */
#ifndef CZ_TRAINING_OPTIMIZER_H
#define CZ_TRAINING_OPTIMIZER_H

#include "checkpoint/checkpoint.h"
#include "config/config.h"
#include "tensor/params.h"

typedef enum cz_optimizer_name {
#define CZ_OPTIMIZER(id, ...) CZ_OPTIMIZER_##id,
#include "training/optimizers.def"
#undef CZ_OPTIMIZER
  CZ_OPTIMIZERS
} cz_optimizer_name;

extern const char *const cz_optimizer_names[]; /* ends in null */
CZ_MUST cz_status cz_optimizer_find(cz_optimizer_name *optimizer, const char *name);

typedef enum cz_schedule {
  CZ_SCHEDULE_CONSTANT,
  CZ_SCHEDULE_RSQRT,
  CZ_SCHEDULE_LINEAR,
  CZ_SCHEDULE_COSINE,
  CZ_SCHEDULE_TRANSFORMERS_LINEAR
} cz_schedule;

/* The section `optimizer`. With s the step from 0, w = warmup_steps, n = steps and r =
 * learning_rate, the schedules are
 *
 *     constant   r
 *     rsqrt      r / sqrt(max(s, w))                          (t5.md 6.1)
 *     linear     from r at w down to final_rate r at the last step
 *     cosine     the same along half a cosine
 *     transformers_linear
 *                r s / w before w, then from r at w down to final_rate r at n, one step behind
 *                the last: what the library of that name calls linear, and PET's (pet.md 1.3)
 *
 * so rsqrt's learning_rate is no peak: 1 with w = 10,000 begins at 0.01. All but rsqrt
 * rise linearly over w steps. */
typedef struct cz_optimizer_keys {
  int name, schedule;
  double learning_rate; /* the peak; with rsqrt the rate is learning_rate / sqrt(max(step,
                           warmup_steps)) */
  double final_rate;    /* where falling schedules end, as a part of learning_rate */
  int64_t warmup_steps;
  double clip_norm;                           /* 0: none */
  double beta1, beta2, epsilon, weight_decay; /* AdamW */
  double decay_exponent, clip_threshold;      /* Adafactor */
} cz_optimizer_keys;

extern const cz_section cz_optimizer_section;

typedef struct cz_optimizer cz_optimizer;

CZ_MUST cz_status cz_optimizer_create(cz_optimizer **o, const cz_optimizer_keys *keys,
                                      cz_params *params);
void cz_optimizer_destroy(cz_optimizer **o);
/* A step is sumsq, clip and update: the device finds the norm, the factor and whether the update is
 * made, and the host reads hyper when it wants to know. finite is for checkpoints: what is saved
 * must be usable. All go through the list of parameters in its order and are local; after the
 * reducer every rank has the same gradient and losses, so every rank makes the same update without
 * another message. */
void cz_optimizer_bind(cz_optimizer *o, void *losses, int64_t n, void *loss_seed);
CZ_MUST cz_status cz_optimizer_scale(cz_optimizer *o, double first, int64_t growth_steps);
CZ_MUST cz_status cz_optimizer_step(cz_optimizer *o, int64_t step, double rate);
void *cz_optimizer_hyper(const cz_optimizer *o);
CZ_MUST cz_status cz_optimizer_finite(cz_optimizer *o, bool *finite);
CZ_MUST cz_status cz_optimizer_save(cz_optimizer *o, cz_checkpoint_writer *w);
CZ_MUST cz_status cz_optimizer_load(cz_optimizer *o, cz_checkpoint *c);
size_t cz_optimizer_bytes(const cz_optimizer *o);
int64_t cz_optimizer_elements(const cz_optimizer_keys *keys, const cz_params *params);
bool cz_schedule_needs_steps(const cz_optimizer_keys *keys);
double cz_schedule_rate(const cz_optimizer_keys *keys, int64_t step, int64_t steps);

#endif
