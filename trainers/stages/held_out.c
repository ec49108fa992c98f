#include "stages/held_out.h"
#include "base/log.h"
#include "metrics/scores.h"
#include "stages/overlap.h"
#include "training/nll.h"

#include <math.h>
#include <stdlib.h>

/* Every seed and row that has this objective is scored on the same text in the same order
 * under the same noise. */
enum { HELD_OUT_SEED = 0 };

const char *const cz_held_out_results[] = {"held_out_loss", "held_out_perplexity",
                                           "held_out_tokens", NULL};

typedef struct held_out_keys {
  const char *corpus;
  int64_t batches; /* at most */
} held_out_keys;

static const cz_key_spec section_keys[] = {
    CZ_KEY(held_out_keys, corpus, TEXT,
           .help = "file made by cloze corpus from text that is not in the stage's `corpus`"),
    CZ_KEY(held_out_keys, batches, INT, .fallback = "50", .min = 1, .max = 1e9, .unit = "batches",
           .help = "at most so many, each as large as one of training; fewer when the corpus ends"),
};
const cz_section cz_held_out_section =
    CZ_SECTION("held_out",
               "Text that a trained model is scored on at the end, the same for every seed: "
               "held_out_loss (nats a target token under the stage's objective) and "
               "held_out_perplexity in its result. Objectives ask for different targets, so this "
               "compares models of one objective.",
               section_keys);

static cz_status read_section(held_out_keys *keys, const cz_config_node **corpus,
                              const cz_recipe *recipe) {
  CZ_TRY(cz_recipe_section(recipe, &cz_held_out_section, keys));
  return cz_config_need(corpus, cz_config_get(recipe->node, cz_held_out_section.name), "corpus");
}

/** Checks the stage's section `held_out`, if it has one, after its `corpus`. */
cz_status cz_held_out_check(cz_check *c, const cz_recipe *recipe) {
  held_out_keys keys;
  const cz_config_node *corpus;
  if (!cz_config_get(recipe->node, cz_held_out_section.name)) return CZ_OK;
  CZ_TRY(read_section(&keys, &corpus, recipe));
  CZ_TRY(cz_check_corpus(c, recipe, corpus));
  return cz_overlap_corpora(c, cz_config_get(recipe->node, "corpus"), corpus);
}

static cz_status put(json_t *metrics, double sum, int64_t tokens) {
  double loss = sum / (double)tokens, perplexity = cz_score_perplexity(sum, tokens);
  CZ_TRY(cz_json_set_real(metrics, "held_out_loss", loss));
  CZ_TRY(cz_json_set_real(metrics, "held_out_perplexity", perplexity));
  CZ_TRY(cz_json_set_int(metrics, "held_out_tokens", tokens));
  cz_log("pretrain: held-out loss %.4f, perplexity %.2f, over %lld target tokens", loss, perplexity,
         (long long)tokens);
  return CZ_OK;
}

/** Scores MODEL on the corpus of the stage's section `held_out`, if it has one: mean
 * negative log likelihood of a target token (nats, without z-loss, smoothing or dropout)
 * under OBJECTIVE, over one pass or the section's number of batches of JOB. Adds
 * held_out_loss, its exponential held_out_perplexity and held_out_tokens to METRICS.
 * Local: one rank does it. */
cz_status cz_held_out_run(json_t *metrics, const cz_recipe *recipe, cz_model *model,
                          const cz_objective *objective, const cz_loop_job *job) {
  cz_objective same = *objective;
  cz_loop_job once = *job;
  held_out_keys keys;
  const cz_config_node *corpus;
  cz_reader *reader = NULL;
  cz_source source = {0};
  cz_net *net = NULL;
  double sum;
  int64_t tokens;
  cz_status st;
  if (!cz_config_get(recipe->node, cz_held_out_section.name)) return CZ_OK;
  same.config.seed = HELD_OUT_SEED;
  once.model = model;
  once.n_heads = 0; /* tokens alone are scored */
  once.passes = 1;
  once.train.loss_on_inputs =
      false; /* a single stack may be trained on its inputs too; the score is of targets */
  CZ_GO(st, read_section(&keys, &corpus, recipe), done);
  CZ_GO(st, cz_recipe_corpus(&reader, recipe, corpus), done);
  CZ_GO(st, cz_source_pieces(&source, reader, &same.cut, same.row->corrupt, &same, HELD_OUT_SEED),
        done);
  CZ_GO(st, cz_loop_net(&net, &once, false), done);
  const cz_batch_plan plan = cz_loop_plan(&once);
  CZ_GO(st, cz_nll_sum(&sum, &tokens, net, &source, &plan, keys.batches), done);
  if (!tokens)
    CZ_GO(st, CZ_FAIL(CZ_EINVAL, "held_out: the corpus has no text for this objective"), done);
  CZ_GO(st, put(metrics, sum, tokens), done);
done:
  cz_net_destroy(&net);
  cz_source_destroy(&source);
  cz_reader_close(&reader);
  return st;
}
