/* A mixture of tasks. Time is cut into blocks of CZ_MIX_BLOCK draws; within a block each
 * task gets its share, in keyed random order, and shares are exact over all blocks so far
 * to less than one draw. A block is an epoch of the mixture, so any draw can be found
 * without replaying the ones before. */
#include "data/walk.h"
#include "device/random.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct task {
  cz__walk walk;
  uint64_t share; /* rates of the tasks up to and with this one, in 2^-32 */
} task;

typedef struct mixture {
  task tasks[CZ_MIX_MAXIMUM];
  int n_tasks;
  uint64_t seed;
  bool planned;
  uint32_t block;
  int32_t draw[CZ_MIX_BLOCK]; /* task of each draw of the block */
  int32_t rank[CZ_MIX_BLOCK]; /* draws of that task before it in the block */
} mixture;

/** Rates of TASKS tasks with the given numbers of EXAMPLES under RULE; they sum to 1.
 * Source: Raffel et al. 2020, section 3.5.2; the limit applies before the temperature.
 * CZ_EINVAL for an empty task or a rule out of range. */
cz_status cz_mixing_rates(double *rates, const int64_t *examples, int tasks,
                          const cz_mixing *rule) {
  if (rule->rule != CZ_MIXING_EQUAL &&
      (!(rule->limit >= 0) || !(rule->temperature >= 1) || !isfinite(rule->temperature)))
    return CZ_FAIL(CZ_EINVAL,
                   "mixing: limit %g must not be negative and temperature %g not below 1",
                   rule->limit, rule->temperature);
  double sum = 0;
  for (int m = 0; m < tasks; m++) {
    if (examples[m] < 1)
      return CZ_FAIL(CZ_EINVAL, "mixing: task %d has %lld examples", m, (long long)examples[m]);
    double e = (double)examples[m];
    if (rule->limit > 0 && e > rule->limit) e = rule->limit;
    rates[m] = rule->rule == CZ_MIXING_EQUAL ? 1 : pow(e, 1 / rule->temperature);
    sum += rates[m];
  }
  for (int m = 0; m < tasks; m++) rates[m] /= sum;
  return CZ_OK;
}

/* Draws of task M in all blocks before BLOCK. share < 2^32 or exactly 2^32, so the
 * products fit. */
static uint64_t draws_before(const mixture *x, int m, uint64_t block) {
  uint64_t upto = x->tasks[m].share * block >> 16,
           below = m ? x->tasks[m - 1].share * block >> 16 : 0;
  return upto - below;
}

static void plan(mixture *x, uint32_t block) {
  if (x->planned && x->block == block) return;
  int64_t n = 0;
  for (int m = 0; m < x->n_tasks; m++)
    for (uint64_t k = draws_before(x, m, (uint64_t)block + 1) - draws_before(x, m, block); k > 0;
         k--)
      x->draw[n++] = m;
  CZ_CHECK(n == CZ_MIX_BLOCK);
  cz_stream s;
  cz_stream_init(&s, x->seed, "data.mixture", block, 0);
  cz_stream_shuffle(&s, x->draw, n);
  int32_t seen[CZ_MIX_MAXIMUM] = {0};
  for (int64_t i = 0; i < n; i++) x->rank[i] = seen[x->draw[i]]++;
  x->block = block;
  x->planned = true;
}

static cz_status mixture_count(void *self, uint64_t *n, uint32_t epoch) {
  (void)self, (void)epoch;
  *n = CZ_MIX_BLOCK;
  return CZ_OK;
}

static cz_status mixture_get(void *self, cz_example *out, uint32_t epoch, uint64_t index) {
  mixture *x = self;
  CZ_CHECK(index < CZ_MIX_BLOCK);
  plan(x, epoch);
  int m = x->draw[index];
  return cz__walk_get(&x->tasks[m].walk, out, draws_before(x, m, epoch) + (uint64_t)x->rank[index]);
}

static void mixture_destroy(void *self) {
  mixture *x = self;
  for (int m = 0; m < x->n_tasks; m++) cz_source_destroy(&x->tasks[m].walk.source);
  free(x);
}

static cz_status check_rates(const double *rates, int n_tasks) {
  if (n_tasks < 1 || n_tasks > CZ_MIX_MAXIMUM)
    return CZ_FAIL(CZ_EINVAL, "mixing: %d tasks, expected 1 to %d", n_tasks, CZ_MIX_MAXIMUM);
  double sum = 0;
  for (int m = 0; m < n_tasks; m++) {
    if (!(rates[m] * CZ_MIX_BLOCK >= 2)) /* fewer, and rounding could take a draw back */
      return CZ_FAIL(CZ_EINVAL, "mixing: task %d has rate %g, the smallest is %g", m, rates[m],
                     2.0 / CZ_MIX_BLOCK);
    sum += rates[m];
  }
  return fabs(sum - 1) < 1e-9 ? CZ_OK
                              : CZ_FAIL(CZ_EINVAL, "mixing: rates sum to %.12g, not 1", sum);
}

/** An endless source that draws from TASKS at RATES (they sum to 1, none below 2 /
 * CZ_MIX_BLOCK). Each task goes through its own epochs. On success the mixture owns the
 * tasks' sources; on failure (CZ_EINVAL) the caller keeps them. */
cz_status cz_source_mixture(cz_source *out, const cz_source *tasks, const double *rates,
                            int n_tasks, uint64_t seed) {
  *out = (cz_source){0};
  CZ_TRY(check_rates(rates, n_tasks));
  mixture *x;
  CZ_TRY(cz_alloc(&x, 1, sizeof *x));
  x->n_tasks = n_tasks;
  x->seed = seed;
  double sum = 0;
  for (int m = 0; m < n_tasks; m++) {
    sum += rates[m];
    x->tasks[m].walk.source = tasks[m];
    x->tasks[m].share = m == n_tasks - 1 ? 1ULL << 32 : (uint64_t)llrint(sum * 0x1p32);
  }
  *out = (cz_source){
      .self = x, .count = mixture_count, .get = mixture_get, .destroy = mixture_destroy};
  return CZ_OK;
}

/** Destroys a source and what it owns, and clears it; accepts one that is zero. */
void cz_source_destroy(cz_source *s) {
  if (s->destroy) s->destroy(s->self);
  *s = (cz_source){0};
}
