/* The stream of batches: a thread keeps some batches ready while the caller works on
 * another. Slots go round: one is held by the caller, the others are being filled or
 * full. A window is filled as a whole. On a machine whose cores all compute this takes
 * longer than a step of a small model; the batches that are ready then keep the step from
 * waiting. */
#include "base/clock.h"
#include "data/window.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SLOTS = 8 };

struct cz_batches {
  cz_source source;
  cz_batch_plan plan;
  cz__window window; /* the thread's, like `at` */
  cz_cursor at;      /* of the next batch to build */
  cz_batch slots[SLOTS];
  pthread_t thread;
  bool running;
  pthread_mutex_t lock;
  pthread_cond_t changed;
  /* Under the lock. */
  uint64_t built, taken, released; /* batches; built - released slots are in use */
  bool stop, ended;
  cz_status failed;
  char *message; /* of the failure */
  double waited;
};

const char *const cz_ends_names[] = {"join", "short", "restart", NULL};

/** The maximum tokens of one example: CAP, or where that is 0 all of a shard's part of
 * BUDGET. */
int64_t cz_batch_cap(int64_t cap, int64_t budget, int64_t shards) {
  return cap ? cap : budget / shards;
}

/** Sets the budgets of a plan of a fixed number of examples to what so many of the longest
 * take; leaves other plans alone. */
void cz_batch_budgets(cz_batch_plan *plan) {
  if (!plan->examples) return;
  plan->input_tokens = plan->examples * plan->max_inputs;
  plan->target_tokens = plan->layout == CZ_LAYOUT_TOKENS ? 0 : plan->examples * plan->max_targets;
}

static cz_status check_examples(const cz_batch_plan *p) {
  const bool targets = p->layout != CZ_LAYOUT_TOKENS;
  if (p->ends != CZ_ENDS_JOIN && !p->examples)
    return CZ_FAIL(CZ_EUSAGE,
                   "batches: epoch_ends %s is a rule of batches of a fixed number of examples; say "
                   "how many (examples)",
                   cz_ends_names[p->ends]);
  if (p->whole < 0 || p->whole > p->shards || (p->whole && p->ends != CZ_ENDS_RESTART) ||
      (p->whole && p->shards >= 2 * p->whole))
    return CZ_FAIL(CZ_EUSAGE,
                   "batches: %" PRId64 " shards are whole of %" PRId64
                   ", which is for epochs that restart and leave fewer over",
                   p->whole, p->shards);
  if (!p->examples) return CZ_OK;
  if (p->examples < 1 || p->examples > 1 << 20 || p->examples % p->shards)
    return CZ_FAIL(CZ_EUSAGE,
                   "batches: %" PRId64 " examples can't be shared by %" PRId64
                   " shards: expected a multiple of them, at most 2^20",
                   p->examples, p->shards);
  if (p->max_inputs < 1 || (targets && p->max_targets < 1))
    return CZ_FAIL(CZ_EUSAGE,
                   "batches: a batch of %" PRId64
                   " examples has room for so many of the longest: max_inputs%s must say how long "
                   "that is",
                   p->examples, targets ? " and max_targets" : "");
  if (p->input_tokens != p->examples * p->max_inputs ||
      (targets && p->target_tokens != p->examples * p->max_targets))
    return CZ_FAIL(CZ_EUSAGE,
                   "batches: budgets of %" PRId64 " input and %" PRId64
                   " target tokens are not those of %" PRId64 " examples of %" PRId64
                   " and %" PRId64 " tokens",
                   p->input_tokens, p->target_tokens, p->examples, p->max_inputs, p->max_targets);
  return CZ_OK;
}

/** CZ_EUSAGE with the values for a plan that can't work: budgets, shards and caps that do
 * not fit together. */
cz_status cz_batches_check(const cz_batch_plan *p) {
  const bool targets = p->layout != CZ_LAYOUT_TOKENS;
  if (p->shards < 1 || p->window < 1 || p->shards > 1 << 20 || p->window > (1 << 20) / p->shards)
    return CZ_FAIL(CZ_EUSAGE,
                   "batches: shards %" PRId64 " and window %" PRId64
                   " must be positive, their product at most 2^20",
                   p->shards, p->window);
  CZ_TRY(check_examples(p));
  if (p->input_tokens < 1 || (targets && p->target_tokens < 1) || p->input_tokens > 1 << 30 ||
      p->target_tokens > 1 << 30)
    return CZ_FAIL(CZ_EUSAGE,
                   "batches: budgets of %" PRId64 " input and %" PRId64
                   " target tokens, expected 1 to 2^30",
                   p->input_tokens, p->target_tokens);
  if (p->input_tokens % p->shards || (targets && p->target_tokens % p->shards))
    return CZ_FAIL(CZ_EUSAGE,
                   "batches: budgets of %" PRId64 " input and %" PRId64
                   " target tokens can't be shared by %" PRId64 " shards",
                   p->input_tokens, p->target_tokens, p->shards);
  int64_t read = p->input_tokens / p->shards, written = p->target_tokens / p->shards;
  if (p->max_inputs < 0 || p->max_targets < 0 || p->max_inputs > read ||
      (targets && p->max_targets > written))
    return CZ_FAIL(CZ_EUSAGE,
                   "batches: an example of up to %" PRId64 " input and %" PRId64
                   " target tokens does not fit a shard's %" PRId64 " and %" PRId64,
                   p->max_inputs, p->max_targets, read, written);
  if (p->soft_classes < 0 || p->soft_classes > 1 << 20 || (p->soft_classes && targets))
    return CZ_FAIL(CZ_EUSAGE, "batches: soft targets over %" PRId64 " classes, expected %s",
                   p->soft_classes, targets ? "none in this layout" : "0 to 2^20");
  if (p->texts < 0 || p->texts > 1 << 10 || (p->texts > 1 && targets))
    return CZ_FAIL(CZ_EUSAGE, "batches: examples of %" PRId64 " texts, expected %s", p->texts,
                   targets ? "one in this layout" : "0 to 2^10");
  return CZ_OK;
}

/* Builds the batch at b->at into OUT and moves on. *MORE is false at the end of the last
 * pass. */
static cz_status build(cz_batches *b, cz_batch *out, bool *more) {
  cz_cursor *at = &b->at;
  if (!b->window.batches) {
    CZ_TRY(cz__window_fill(&b->window, &b->source, &b->plan, at->epoch, at->index));
    if (at->taken && at->taken >= b->window.batches)
      return CZ_FAIL(CZ_EINVAL,
                     "the saved place is batch %u of a window that has %" PRId64
                     ": the data are not those of the saved run",
                     at->taken, b->window.batches);
  }
  *more = b->window.batches > 0;
  if (!*more) return CZ_OK;
  cz__batch_fill(out, &b->window, &b->plan, at->taken);
  at->batches++;
  at->taken++;
  if (at->taken == b->window.batches) {
    *at = (cz_cursor){
        .epoch = b->window.next_epoch, .index = b->window.next_index, .batches = at->batches};
    b->window.batches = 0;
  }
  out->after = *at;
  return CZ_OK;
}

static void finish(cz_batches *b, cz_status st) {
  pthread_mutex_lock(&b->lock);
  b->ended = true;
  b->failed = st;
  if (st != CZ_OK) b->message = strdup(cz_error_message());
  pthread_cond_broadcast(&b->changed);
  pthread_mutex_unlock(&b->lock);
}

static void *run(void *self) {
  cz_batches *b = self;
  for (uint64_t n = 0;; n++) {
    pthread_mutex_lock(&b->lock);
    while (!b->stop && n - b->released >= SLOTS) pthread_cond_wait(&b->changed, &b->lock);
    bool stop = b->stop;
    pthread_mutex_unlock(&b->lock);
    if (stop) return NULL;
    bool more = false;
    cz_status st = build(b, &b->slots[n % SLOTS], &more);
    if (st != CZ_OK || !more) {
      finish(b, st);
      return NULL;
    }
    pthread_mutex_lock(&b->lock);
    b->built = n + 1;
    pthread_cond_broadcast(&b->changed);
    pthread_mutex_unlock(&b->lock);
  }
}

/** Opens a stream of batches of SOURCE at FROM (null: the start) and begins to read
 * ahead. SOURCE is borrowed, and nobody else may use it until cz_batches_close. The same
 * source, plan and cursor give the same batches, bit for bit. CZ_EUSAGE for a plan that
 * can't work. */
cz_status cz_batches_open(cz_batches **b, const cz_source *source, const cz_batch_plan *plan,
                          const cz_cursor *from) {
  *b = NULL;
  CZ_TRY(cz_batches_check(plan));
  cz_batches *s;
  CZ_TRY(cz_alloc(&s, 1, sizeof *s));
  s->source = *source;
  s->plan = *plan;
  if (from) s->at = *from;
  pthread_mutex_init(&s->lock, NULL);
  pthread_cond_init(&s->changed, NULL);
  cz_status st;
  CZ_GO(st, cz__window_create(&s->window, plan), fail);
  for (int i = 0; i < SLOTS; i++) CZ_GO(st, cz__batch_create(&s->slots[i], plan), fail);
  int bad = pthread_create(&s->thread, NULL, run, s);
  if (bad) CZ_GO(st, CZ_FAIL(CZ_EIO, "can't start the reading thread: %s", strerror(bad)), fail);
  s->running = true;
  *b = s;
  return CZ_OK;
fail:
  cz_batches_close(&s);
  return st;
}

/** The next batch, borrowed until the next call; null after the last pass. A failure of
 * the reading thread arrives here, now and at every later call. */
cz_status cz_batches_next(cz_batches *b, const cz_batch **batch) {
  *batch = NULL;
  double began = cz_seconds();
  pthread_mutex_lock(&b->lock);
  b->released = b->taken;
  pthread_cond_broadcast(&b->changed);
  while (b->built == b->taken && !b->ended) pthread_cond_wait(&b->changed, &b->lock);
  bool ready = b->built > b->taken;
  if (ready) *batch = &b->slots[b->taken++ % SLOTS];
  cz_status st = ready ? CZ_OK : b->failed;
  pthread_mutex_unlock(&b->lock);
  b->waited += cz_seconds() - began;
  return st == CZ_OK ? st : CZ_FAIL(st, "%s", b->message ? b->message : cz_status_name(st));
}

/** Seconds that the caller has spent waiting for batches. */
double cz_batches_waited(const cz_batches *b) { return b->waited; }

/** Stops the thread and frees the stream with its batches; accepts null. */
void cz_batches_close(cz_batches **b) {
  cz_batches *s = *b;
  if (!s) return;
  pthread_mutex_lock(&s->lock);
  s->stop = true;
  pthread_cond_broadcast(&s->changed);
  pthread_mutex_unlock(&s->lock);
  if (s->running) pthread_join(s->thread, NULL);
  pthread_cond_destroy(&s->changed);
  pthread_mutex_destroy(&s->lock);
  for (int i = 0; i < SLOTS; i++) cz__batch_free(&s->slots[i]);
  cz__window_free(&s->window);
  free(s->message);
  free(s);
  *b = NULL;
}
