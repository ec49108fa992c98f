#include "trainers/train.h"
#include "base/fs.h"
#include "nn/hf.h"

/** Runs the loop over SOURCE on MODEL and saves the trained model beside it; fills METRICS and MEASURED. */
cz_status cz_train(cz_session *s, const cz_stage *stage, cz_model *model, const cz_source *source, cz_loop_job *job, const char *folder, json_t *metrics,
                   json_t *measured) {
  cz_loop_result r;
  char saved[4096];
  job->folder = folder;
  job->comm = s->comm;
  job->model = model;
  job->source = source;
  job->start_id = (int32_t)model->config.start_id;
  job->layout = model->config.family->architecture == CZ_ENCODER_DECODER ? CZ_LAYOUT_ENCDEC : CZ_LAYOUT_STACK;
  CZ_TRY(cz_loop_run(&r, job));
  CZ_TRY(cz_fs_join(saved, sizeof saved, folder, "model"));
  if (s->comm->rank == 0) CZ_TRY(cz_train_save(model, stage, saved));
  CZ_TRY(cz_json_set_real(metrics, "loss", r.loss));
  CZ_TRY(cz_json_set_real(metrics, "last_loss", r.last_loss));
  CZ_TRY(cz_json_set_int(metrics, "steps", r.steps));
  CZ_TRY(cz_json_set_int(metrics, "skipped", r.skipped));
  CZ_TRY(cz_json_set_int(metrics, "input_tokens", r.input_tokens));
  CZ_TRY(cz_json_set_int(metrics, "target_tokens", r.target_tokens));
  CZ_TRY(cz_json_set_int(metrics, "examples", r.examples));
  CZ_TRY(cz_json_set_int(metrics, "cut", r.cut));
  CZ_TRY(cz_json_set_real(measured, "loop_seconds", r.seconds));
  return cz_json_set_real(measured, "reader_wait_seconds", r.waited);
}

/** Saves MODEL with the stage's tokenizer.json as a Hugging Face directory. */
cz_status cz_train_save(const cz_model *model, const cz_stage *stage, const char *folder) {
  char path[4096];
  cz_buf text = {0};
  CZ_TRY(cz_hf_save(model, folder));
  CZ_TRY(cz_fs_join(path, sizeof path, folder, "tokenizer.json"));
  cz_status st = cz_fs_read(stage->tokenizer_path, &text);
  if (st == CZ_OK) st = cz_fs_write_atomic(path, text.data, text.len);
  cz_buf_free(&text);
  return st;
}

/** The job that every training stage starts from: batch, optimizer and loop keys of its configuration. */
cz_status cz_train_bind(cz_loop_job *job, const cz_stage *stage, const char *what, uint64_t config_hash) {
  *job = (cz_loop_job){.what = what, .config_hash = config_hash, .dropout_mask = stage->model.dropout_mask, .seed = stage->seed};
  CZ_TRY(cz_stage_section(stage, &cz_batch_section, &job->batch));
  CZ_TRY(cz_stage_section(stage, &cz_optimizer_section, &job->optimizer));
  return cz_stage_section(stage, &cz_train_section, &job->train);
}
