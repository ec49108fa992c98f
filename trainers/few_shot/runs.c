#include "few_shot/runs.h"
#include "base/stop.h"

/** Calls RUNS->run for all INPUTS, longest first, as many at once as fit into a run. Stops at the
 * first failure; CZ_EINTERRUPT after a signal. */
cz_status cz_runs_over(const cz_runs *runs, const cz_prepared *inputs) {
  const cz_batch_plan plan = {.layout = CZ_LAYOUT_TOKENS,
                              .input_tokens = runs->tokens,
                              .max_inputs = runs->longest,
                              .shards = 1,
                              .window = 1,
                              .on_long = CZ_LONG_REFUSE,
                              .passes = 1,
                              .texts = runs->texts};
  const cz_prepared_use use = {.order = CZ_ORDER_LENGTH};
  cz_source source = {0};
  cz_batches *batches = NULL;
  const cz_batch *batch;
  cz_status st;
  CZ_GO(st, cz_source_prepared(&source, inputs, &use), done);
  CZ_GO(st, cz_batches_open(&batches, &source, &plan, NULL), done);
  for (;;) {
    CZ_GO(st, cz_stop_check(runs->what), done);
    CZ_GO(st, cz_batches_next(batches, &batch), done);
    if (!batch) break;
    if (batch->shards[0].segments) CZ_GO(st, runs->run(runs->self, &batch->shards[0]), done);
  }
done:
  cz_batches_close(&batches);
  cz_source_destroy(&source);
  return st;
}
