#include "stages/train.h"
#include "base/fs.h"
#include "base/log.h"
#include "stages/model_folder.h"

const char *const cz_train_results[] = {"loss",         "last_loss",     "steps",        "skipped",
                                        "input_tokens", "target_tokens", "examples",     "cut",
                                        "text_tokens",  "mean_inputs",   "mean_targets", NULL};

/* Warns of examples that were cut: what is cut off is not learnt. */
static void warn_of_cuts(const cz_loop_job *job, const cz_loop_result *r) {
  const cz_batch_plan *b = &job->batch;
  if (r->cut == 0) return;
  cz_warn(
      "%s: %lld of %lld examples were longer than max_inputs %lld or max_targets %lld and were cut",
      job->what, (long long)r->cut, (long long)r->examples,
      (long long)cz_batch_cap(b->max_inputs, b->input_tokens, b->shards),
      (long long)cz_batch_cap(b->max_targets, b->target_tokens, b->shards));
}

/** How batches for a model of CONFIG are laid out: where no id begins what is read, tokens are read
 * as they are. */
cz_layout cz_train_layout(const cz_model_config *config) {
  if (config->family->defaults.start_id < 0) return CZ_LAYOUT_TOKENS;
  switch (config->family->architecture) { /* complete: a further one has batches of its own */
  case CZ_ENCODER_DECODER: return CZ_LAYOUT_ENCDEC;
  case CZ_LANGUAGE_MODEL:
  case CZ_PREFIX_LM: return CZ_LAYOUT_STACK;
  case CZ_ENCODER: return CZ_LAYOUT_TOKENS;
  case CZ_ARCHITECTURES: break;
  }
  CZ_CHECK(!"an architecture");
  return CZ_LAYOUT_STACK;
}

/** Runs the loop over SOURCE on MODEL and saves the trained model beside it; fills
 * OUT. */
cz_status cz_train(cz_session *s, const cz_recipe *recipe, cz_model *model, const cz_source *source,
                   cz_loop_job *job, cz_stage_output *out) {
  json_t *metrics = out->metrics, *measured = out->measured;
  cz_loop_result r;
  char saved[4096];
  job->folder = out->folder;
  job->comm = s->comm;
  job->model = model;
  job->source = source;
  job->start_id = (int32_t)model->config.start_id;
  job->layout = cz_train_layout(&model->config);
  if (model->config.family->architecture == CZ_PREFIX_LM && job->train.loss_on_inputs)
    cz_warn("%s: with train.loss_on_inputs a prefix LM also predicts inputs that it sees; its loss "
            "can't be compared with a language model's",
            job->what);
  CZ_TRY(cz_recipe_note_memory(cz_loop_take_model(model, &job->train)));
  CZ_TRY(cz_loop_run(&r, job));
  if (s->comm->rank == 0) warn_of_cuts(job, &r);
  CZ_TRY(cz_fs_join(saved, sizeof saved, out->folder, "model"));
  if (s->comm->rank == 0) CZ_TRY(cz_model_folder_save(model, recipe, saved));
  CZ_TRY(cz_json_set_real(metrics, "loss", r.loss));
  CZ_TRY(cz_json_set_real(metrics, "last_loss", r.last_loss));
  CZ_TRY(cz_json_set_int(metrics, "steps", r.steps));
  CZ_TRY(cz_json_set_int(metrics, "skipped", r.skipped));
  CZ_TRY(cz_json_set_int(metrics, "input_tokens", r.input_tokens));
  CZ_TRY(cz_json_set_int(metrics, "target_tokens", r.target_tokens));
  CZ_TRY(cz_json_set_int(metrics, "examples", r.examples));
  CZ_TRY(cz_json_set_int(metrics, "cut", r.cut));
  CZ_TRY(cz_json_set_int(metrics, "text_tokens", r.text_tokens));
  CZ_TRY(cz_json_set_real(metrics, "mean_inputs", r.mean_inputs));
  CZ_TRY(cz_json_set_real(metrics, "mean_targets", r.mean_targets));
  CZ_TRY(cz_json_set_text(measured, "precision", cz_precision_names[job->train.precision]));
  CZ_TRY(cz_json_set_real(measured, "loop_seconds", r.seconds));
  return cz_json_set_real(measured, "reader_wait_seconds", r.waited);
}

/** The job that every training stage starts from: batch, optimizer and loop keys of its
 * configuration. */
cz_status cz_train_bind(cz_loop_job *job, const cz_recipe *recipe, const char *what,
                        uint64_t config_hash) {
  *job = (cz_loop_job){.what = what,
                       .config_hash = config_hash,
                       .dropout_mask = recipe->model.dropout_mask,
                       .seed = recipe->seed};
  CZ_TRY(cz_recipe_section(recipe, &cz_batch_section, &job->batch));
  CZ_TRY(cz_recipe_section(recipe, &cz_optimizer_section, &job->optimizer));
  return cz_recipe_section(recipe, &cz_train_section, &job->train);
}
