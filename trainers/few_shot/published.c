#include "few_shot/published.h"
#include "ensemble/ensemble.h"

/** Makes JOB, whose keys are bound, the published loop: the loss is the mean of the micro-batches'
 * means, and behind the last update there is another one with the rate 0. */
void cz_published_loop(cz_loop_job *job) {
  job->shard_means = true;
  job->rate_steps = job->train.steps++;
}

/** Updates of an epoch of N labelled texts, LABELLED of them to a batch, where each epoch counts
 * its micro-batches anew: those behind the last whole update make none. With 0 there never is one.
 */
int64_t cz_published_updates(const cz_batch_plan *b, int64_t labelled, int64_t n) {
  const int64_t each = labelled / b->shards;
  return (n + each - 1) / each / b->shards;
}

/** The texts of such an epoch that its updates read: the first of its order. */
int64_t cz_published_texts(const cz_batch_plan *b, int64_t labelled, int64_t n) {
  const int64_t texts = cz_published_updates(b, labelled, n) * labelled;
  return texts < n ? texts : n;
}

/** What the cross-entropy of JOB's first head, of soft targets, exceeds the published
 * `distillation_loss` of BATCH by, which is the Kullback-Leibler divergence (docs/pet.md 1.5). */
double cz_published_excess(const cz_loop_job *job, const cz_batch *batch) {
  const cz_net_head_options *head = &job->heads[0].net;
  double sum = 0;
  for (int64_t s = 0; s < batch->n_shards; s++) {
    const cz_shard *shard = &batch->shards[s];
    if (shard->n_class_rows > 0)
      sum += cz_soft_targets_entropy(shard->soft, (size_t)shard->n_class_rows,
                                     (int32_t)head->classes, head->temperature);
  }
  return sum / (double)batch->n_shards;
}
