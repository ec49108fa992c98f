#include "training/nll.h"
#include "base/stop.h"
#include "training/feed.h"

#include <math.h>
#include <stdlib.h>

/* Adds to SUM the negative log likelihoods of the shard's counted tokens. */
static cz_status add_shard(double *sum, cz_net *net, const cz_shard *s) {
  const cz_graph_run_options run = {0};
  cz_feed feed;
  double *nll;
  if (s->segments == 0) return CZ_OK;
  cz_feed_shard(&feed, s, net->options.loss_rows, 1);
  CZ_TRY(cz_net_feed(net, &feed));
  CZ_TRY(cz_graph_forward(net->graph, &run));
  CZ_TRY(cz_alloc(&nll, (size_t)feed.n_loss_rows, sizeof *nll));
  cz_status st = cz_graph_read(net->graph, nll, net->nll, feed.n_loss_rows);
  for (int64_t i = 0; i < feed.n_loss_rows && st == CZ_OK; i++) {
    if (feed.targets[i] < 0) continue;
    *sum += nll[i];
    if (!isfinite(nll[i]))
      st = CZ_FAIL(CZ_ENUMERIC, "held-out: the loss of target %lld of a batch is %g, not finite",
                   (long long)i, nll[i]);
  }
  free(nll);
  return st;
}

/** SUM of the negative log likelihoods, in nats, of the TOKENS that NET, which has one head over
 * the vocabulary, is asked for in at most MAXIMUM batches of SOURCE. CZ_ENUMERIC for one that is
 * not finite, CZ_EINTERRUPT after a signal. */
cz_status cz_nll_sum(double *sum, int64_t *tokens, cz_net *net, const cz_source *source,
                     const cz_batch_plan *plan, int64_t maximum) {
  cz_batches *batches;
  const cz_batch *b;
  cz_status st = CZ_OK;
  *sum = 0;
  *tokens = 0;
  CZ_TRY(cz_batches_open(&batches, source, plan, NULL));
  for (int64_t i = 0; i < maximum; i++) {
    CZ_GO(st, cz_stop_check("held-out text"), done);
    CZ_GO(st, cz_batches_next(batches, &b), done);
    if (!b) break;
    for (int64_t s = 0; s < b->n_shards; s++) CZ_GO(st, add_shard(sum, net, &b->shards[s]), done);
    *tokens += b->n_loss_rows;
  }
done:
  cz_batches_close(&batches);
  return st;
}
