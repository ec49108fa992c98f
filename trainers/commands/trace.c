/* `cloze trace`: one forward and backward of a model on a batch, everything written to a
 * file: to find where a ported checkpoint departs. */
#include "commands/commands.h"
#include "commands/outputs.h"
#include "commands/trace_batch.h"
#include "base/args.h"
#include "base/nearest.h"
#include "device/help.h"
#include "nn/hf.h"
#include "recipe/recipe.h"
#include "tensor/h5_file.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char cz_trace_usage[] =
    "cloze trace MODEL_DIR --batch FILE.jsonl --out FILE.h5 [--device D] [--precision P] "
    "[--wide-stream] [--head H] [--no-grad]\n"
    "Runs MODEL_DIR (a Hugging Face directory) forward and backward on a batch, without dropout, "
    "and writes to FILE.h5:\n"
    "  loss         mean over all counted positions\n"
    "  logits/N     [positions, V] of segment N; of a classifier [1, classes]\n"
    "  grad/NAME    gradient of every parameter, name and orientation as Hugging Face's "
    "named_parameters\n"
    "Each line of the batch is one segment: {\"input_ids\": [...], \"target_ids\": [...]} for an "
    "encoder-decoder (the decoder reads the shifted\n"
    "target), {\"input_ids\": [...], \"labels\": [...]} for a single stack (position i predicts "
    "label i + 1; \"prefix\": N for a prefix LM);\n"
    "a masked LM predicts label i at position i; {\"input_ids\": [...], \"label\": K} for a "
    "classifier. \"token_type_ids\": [...] beside them,\n"
    "of models that have types, are 0 where they are left out; -100 is not counted.\n"
    "  --head H     masked_lm, causal_lm, classification or next_sentence; that of the folder's "
    "class (architectures) by default\n"
    "  --device D   ref (float64, default) or " CZ_DEVICE_HELP_OTHERS "\n"
    "  --precision P  of products and activations: f32 (the device's own, default), bf16, fp16\n"
    "  --wide-stream  the residual stream stays in float32 beside a narrower precision\n"
    "  --no-grad    loss and logits only\n";

static cz_status put(cz_h5_file *file, const char *name, const double *data, int rank,
                     const int64_t *dims) {
  hsize_t size[CZ_DIMS];
  for (int i = 0; i < rank; i++) size[i] = (hsize_t)dims[i];
  hid_t space = H5Screate_simple(rank, size, NULL), how = H5Pcreate(H5P_DATASET_CREATE);
  H5Pset_obj_track_times(how, false);
  cz_h5_make_groups(file, name);
  hid_t set = H5Dcreate2(file->id, name, H5T_IEEE_F64LE, space, H5P_DEFAULT, how, H5P_DEFAULT);
  cz_status st = cz_h5_check(
      file, set >= 0 && H5Dwrite(set, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) >= 0,
      name);
  if (set >= 0) H5Dclose(set);
  H5Pclose(how);
  H5Sclose(space);
  return st;
}

/* N numbers in rows of COLUMNS: the first that is not finite is an error with its place. */
static cz_status check_finite(const char *name, const double *x, int64_t n, int64_t columns) {
  for (int64_t i = 0; i < n; i++)
    if (!isfinite(x[i]))
      return CZ_FAIL(CZ_ENUMERIC, "%s at [%lld, %lld] is %g, not finite", name,
                     (long long)(i / columns), (long long)(i % columns), x[i]);
  return CZ_OK;
}

/* Rows FROM to TO of V numbers each, as logits of segment K. */
static cz_status put_logits(cz_h5_file *file, const double *logits, int64_t k, int64_t from,
                            int64_t to, int64_t V) {
  const int64_t dims[2] = {to - from, V};
  char name[32];
  snprintf(name, sizeof name, "logits/%lld", (long long)k);
  CZ_TRY(check_finite(name, logits + from * V, dims[0] * V, V));
  return put(file, name, logits + from * V, 2, dims);
}

static cz_status put_outputs(cz_h5_file *file, cz_net *net, const cz_flat_batch *b) {
  const cz_net_head *h = &net->heads[0];
  const bool classes = h->scores != CZ_ABSENT;
  const int64_t V = h->classes, rows = classes ? b->segments : (int64_t)b->decoder.ids.len, one = 1;
  const int32_t *spans = b->decoder.spans.data;
  double loss, *logits;
  CZ_TRY(cz_graph_read_loss(net->graph, &loss));
  CZ_TRY(cz_alloc(&logits, (size_t)(rows * V), sizeof *logits));
  cz_status st = cz_graph_read(net->graph, logits, classes ? h->scores : h->logits, rows * V);
  for (int64_t k = 0; st == CZ_OK && k < b->segments; k++)
    st = classes ? put_logits(file, logits, k, k, k + 1, V)
                 : put_logits(file, logits, k, spans[2 * k], spans[2 * k + 1], V);
  free(logits);
  if (st == CZ_OK) st = check_finite("loss", &loss, 1, 1);
  return st == CZ_OK ? put(file, "loss", &loss, 1, &one) : st;
}

/* The gradient of the tensor of parameter I, unless it was put with an earlier one. */
static cz_status put_grad(cz_h5_file *file, const cz_model *m, size_t i, const double *grads) {
  cz_hf_tensor_view t;
  bool first;
  char name[288];
  CZ_TRY(cz_hf_tensor(&t, &first, m, i, grads));
  if (!first) return CZ_OK;
  snprintf(name, sizeof name, "grad/%s", t.name);
  cz_status st = check_finite(name, t.data, t.count, t.rank > 1 ? t.dims[1] : t.count);
  if (st == CZ_OK) st = put(file, name, t.data, t.rank, t.dims);
  free(t.data);
  return st;
}

static cz_status put_grads(cz_h5_file *file, const cz_model *m) {
  double *grads;
  cz_status st = CZ_OK;
  CZ_TRY(cz_alloc(&grads, (size_t)m->params->flat, sizeof *grads));
  for (size_t i = 0; i < m->params->n && st == CZ_OK; i++) {
    const cz_param *p = m->params->list[i];
    st = cz_device_read_real(m->device, grads + p->offset, p->grad, p->count);
  }
  for (size_t i = 0; i < m->params->n && st == CZ_OK; i++) st = put_grad(file, m, i, grads);
  free(grads);
  return st;
}

static cz_status write_file(const char *path, cz_net *net, const cz_flat_batch *b, bool grads) {
  cz_h5_file file;
  CZ_TRY(cz_h5_create(&file, path));
  cz_status st = put_outputs(&file, net, b);
  if (st == CZ_OK && grads) st = put_grads(&file, net->model);
  if (st == CZ_OK) st = cz_h5_commit(&file);
  cz_h5_discard(&file);
  return st;
}

/* The first token of each text or its last, and its class. */
static cz_status feed_classes(cz_feed *f, cz_net_head_feed *classes, const cz_model *m,
                              const cz_flat_batch *b) {
  int32_t *rows;
  CZ_TRY(cz_alloc(&rows, (size_t)b->segments, sizeof *rows));
  cz_net_pooled_rows(rows, &m->config, b->decoder.spans.data, b->segments);
  *classes = (cz_net_head_feed){.rows = rows,
                                .n_rows = b->segments,
                                .targets = b->targets.data,
                                .denominator = (double)b->segments};
  f->heads = classes;
  return CZ_OK;
}

static cz_status run_batch(cz_net **net, cz_model *m, const cz_flat_batch *b, cz_head head,
                           bool grads) {
  const bool classes = cz_trace_classifies(head);
  cz_net_options o = {.train = grads, .logits = true, .n_heads = classes ? 1 : 0};
  cz_net_head_feed head_feed = {0};
  cz_graph_run_options run = {0};
  cz_feed f;
  cz_status st = CZ_OK;
  o.heads[0] = (cz_net_head_options){.kind = head == CZ_HEAD_CLASSIFICATION ? CZ_NET_CLASSIFIER
                                                                            : CZ_NET_NEXT_SENTENCE,
                                     .capacity_rows = b->segments};
  cz_flat_batch_capacities(&o, b);
  cz_feed_flat_batch(&f, b, (double)cz_trace_counted(b));
  if (classes) CZ_GO(st, feed_classes(&f, &head_feed, m, b), done);
  CZ_GO(st, cz_net_create(net, m, &o), done);
  CZ_GO(st, cz_net_feed(*net, &f), done);
  st = grads ? cz_graph_train((*net)->graph, &run) : cz_graph_forward((*net)->graph, &run);
done:
  free((void *)head_feed.rows);
  return st;
}

/* The head that NAME or, without it, the folder's class means; the model is opened with it
 * alone. */
static cz_status open_model(cz_model **model, cz_head *head, const char *folder, const char *name,
                            cz_device *device) {
  cz_model_config c;
  size_t i = 0;
  CZ_TRY(cz_hf_config_of(&c, folder));
  if (name) CZ_TRY(cz_find_name(&i, "head", name, cz_head_names, CZ_HEADS));
  while (!name && i < CZ_HEADS && !(c.heads & CZ_HEAD_BIT(i))) i++;
  if (i == CZ_HEADS)
    return CZ_FAIL(CZ_EUSAGE,
                   "%s: the class in architectures has no head that is known here; "
                   "--head names one",
                   folder);
  *head = (cz_head)i;
  const cz_hf_options options = {.heads = CZ_HEAD_BIT(i)};
  return cz_hf_open_with(model, folder, device, &options);
}

/** The command `cloze trace`; its usage says what it reads and writes. */
cz_status cz_command_trace(int argc, char **argv) {
  const char *path = NULL, *out = NULL, *device_name = "ref", *precision_name = "f32",
             *head_name = NULL;
  bool no_grad = false, wide_stream = false;
  cz_precision precision;
  cz_head head = CZ_HEAD_CAUSAL_LM;
  const cz_option options[] = {{"--batch", &path, NULL},
                               {"--out", &out, NULL},
                               {"--device", &device_name, NULL},
                               {"--precision", &precision_name, NULL},
                               {"--wide-stream", NULL, &wide_stream},
                               {"--head", &head_name, NULL},
                               {"--no-grad", NULL, &no_grad}};
  cz_device *device = NULL;
  cz_model *model = NULL;
  cz_net *net = NULL;
  cz_flat_batch b = {0};
  cz_status st;
  CZ_TRY(cz_args_parse(&argc, argv, options, sizeof options / sizeof *options));
  CZ_TRY(cz_args_count(argc, argv, 1, 1, cz_trace_usage));
  if (!path || !out)
    return CZ_FAIL(CZ_EUSAGE, "trace: %s is missing",
                   path ? "--out FILE.h5" : "--batch FILE.jsonl");
  CZ_TRY(cz_precision_find(&precision, precision_name));
  CZ_TRY(cz_output_is_new(out, path, argv[1]));
  CZ_GO(st, cz_device_open(&device, device_name), done);
  CZ_GO(st, cz_recipe_model_folder(argv[1]), done);
  CZ_GO(st, open_model(&model, &head, argv[1], head_name, device), done);
  CZ_GO(st, cz_model_compute(model, precision, wide_stream), done);
  CZ_GO(st, cz_trace_read(&b, &model->config, head, path), done);
  CZ_GO(st, run_batch(&net, model, &b, head, !no_grad), done);
  CZ_GO(st, write_file(out, net, &b, !no_grad), done);
done:
  cz_net_destroy(&net);
  cz_model_destroy(&model);
  cz_device_close(&device);
  cz_flat_batch_free(&b);
  return st;
}
