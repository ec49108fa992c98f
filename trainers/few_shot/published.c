#include "few_shot/published.h"
#include "ensemble/ensemble.h"

/** Makes JOB, whose keys are bound, the published loop: the loss is the mean of the micro-batches'
 * means, and behind the last update there is another one with the rate 0. */
void cz_published_loop(cz_loop_job *job) {
  job->shard_means = true;
  job->rate_steps = job->train.steps++;
}

/** The epoch of N labelled texts of which B has LABELLED. Its last micro-batch may be short, but
 * with unlabelled texts beside them, where that is left out. */
cz_published_epoch cz_published_epoch_of(const cz_batch_plan *b, int64_t labelled, int64_t n) {
  const int64_t each = labelled / b->shards;
  cz_published_epoch e = {.texts = labelled < b->examples ? n - n % each : n};
  e.micro_batches = (e.texts + each - 1) / each;
  e.updates = e.micro_batches / b->shards;
  e.left_over = e.micro_batches % b->shards;
  return e;
}

/** Gives batches of B, one of a published update, room for what EPOCH leaves over. */
void cz_published_batches(cz_batch_plan *b, const cz_published_epoch *epoch) {
  const int64_t each = b->examples / b->shards;
  b->whole = b->shards;
  b->shards += epoch->left_over;
  b->examples = each * b->shards;
}

/** What the cross-entropy of JOB's first head, of soft targets, exceeds the published
 * `distillation_loss` of BATCH by, which is the Kullback-Leibler divergence (docs/pet.md 1.5). */
double cz_published_excess(const cz_loop_job *job, const cz_batch *batch) {
  const cz_net_head_options *head = &job->heads[0].net;
  const int64_t rows = head->together ? head->together : 1; /* of one answer */
  double sum = 0;
  for (int64_t s = 0; s < batch->n_shards; s++) {
    const cz_shard *shard = &batch->shards[s];
    if (shard->n_class_rows > 0)
      sum += cz_soft_targets_entropy(shard->soft, (size_t)(shard->n_class_rows / rows),
                                     (int32_t)head->classes, head->temperature);
  }
  return sum / cz_loop_mean_of(job);
}
