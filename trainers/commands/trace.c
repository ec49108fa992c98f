/* `cloze trace`: one forward and backward of a model on a batch, everything written to a
 * file: to find where a ported checkpoint departs. */
#include "commands/commands.h"
#include "base/args.h"
#include "base/fs.h"
#include "device/help.h"
#include "json/json.h"
#include "nn/hf.h"
#include "recipe/recipe.h"
#include "tensor/h5_file.h"
#include "training/feed.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char cz_trace_usage[] =
    "cloze trace MODEL_DIR --batch FILE.jsonl --out FILE.h5 [--device D] [--precision P] "
    "[--wide-stream] [--no-grad]\n"
    "Runs MODEL_DIR (a Hugging Face directory) forward and backward on a batch, without dropout, "
    "and writes to FILE.h5:\n"
    "  loss         mean over all counted positions\n"
    "  logits/N     [positions, V] of segment N\n"
    "  grad/NAME    gradient of every parameter, name and orientation as Hugging Face's "
    "named_parameters\n"
    "Each line of the batch is one segment: {\"input_ids\": [...], \"target_ids\": [...]} for an "
    "encoder-decoder (the decoder reads the shifted\n"
    "target), {\"input_ids\": [...], \"labels\": [...]} for a single stack (position i predicts "
    "label i + 1; \"prefix\": N for a prefix LM);\n"
    "-100 is not counted.\n"
    "  --device D   ref (float64, default) or " CZ_DEVICE_HELP_OTHERS "\n"
    "  --precision P  of products and activations: f32 (the device's own, default), bf16, fp16\n"
    "  --wide-stream  the residual stream stays in float32 beside a narrower precision\n"
    "  --no-grad    loss and logits only\n";

static cz_status get_list(const json_t *line, const char *key, const char *path, int number,
                          const json_t **out) {
  *out = json_object_get(line, key);
  if (!json_is_array(*out))
    return CZ_FAIL(CZ_EINVAL, "%s:%d: %s is missing or not a list", path, number, key);
  return json_array_size(*out) ? CZ_OK
                               : CZ_FAIL(CZ_EINVAL, "%s:%d: %s is empty", path, number, key);
}

/* Ids below MINIMUM, or not in the vocabulary of MAXIMUM, are refused here, where their place
 * is known. */
static cz_status append_ids(cz_ids *out, const json_t *list, const char *key, const char *path,
                            int number, int64_t minimum, int64_t maximum) {
  for (size_t i = 0; i < json_array_size(list); i++) {
    const json_t *v = json_array_get(list, i);
    json_int_t id = json_integer_value(v);
    if (!json_is_integer(v) || id < INT32_MIN || id > INT32_MAX)
      return CZ_FAIL(CZ_EINVAL, "%s:%d: element %zu of %s is not a token id", path, number, i, key);
    if (id < minimum || id >= maximum)
      return CZ_FAIL(CZ_EINVAL, "%s:%d: element %zu of %s, %lld, is not in the vocabulary of %lld",
                     path, number, i, key, (long long)id, (long long)maximum);
    CZ_TRY(cz_ids_add(out, (int32_t)id));
  }
  return CZ_OK;
}

/* Encoder-decoder: the decoder reads the start id, then its own targets; a position that
 * is not counted is read as padding, as Hugging Face has it. */
static cz_status add_pair(cz_flat_batch *b, const cz_model_config *c, const json_t *line,
                          const char *path, int number) {
  const json_t *inputs, *targets;
  size_t enc = b->encoder.ids.len, dec = b->decoder.ids.len;
  CZ_TRY(get_list(line, "input_ids", path, number, &inputs));
  CZ_TRY(get_list(line, "target_ids", path, number, &targets));
  CZ_TRY(append_ids(&b->encoder.ids, inputs, "input_ids", path, number, 0, c->vocab_size));
  CZ_TRY(append_ids(&b->targets, targets, "target_ids", path, number, INT32_MIN, c->vocab_size));
  CZ_TRY(cz_ids_add(&b->decoder.ids, (int32_t)c->start_id));
  for (size_t i = dec; i + 1 < b->targets.len; i++)
    CZ_TRY(cz_ids_add(&b->decoder.ids,
                      b->targets.data[i] < 0 ? (int32_t)c->pad_id : b->targets.data[i]));
  CZ_TRY(cz_token_lists_close(&b->encoder, enc));
  return cz_token_lists_close(&b->decoder, dec);
}

/* A single stack reads its inputs and predicts the next label. */
static cz_status add_stack(cz_flat_batch *b, const cz_model_config *c, const json_t *line,
                           const char *path, int number) {
  const json_t *inputs, *labels, *prefix = json_object_get(line, "prefix");
  size_t dec = b->decoder.ids.len;
  CZ_TRY(get_list(line, "input_ids", path, number, &inputs));
  CZ_TRY(get_list(line, "labels", path, number, &labels));
  if (json_array_size(inputs) != json_array_size(labels))
    return CZ_FAIL(CZ_EINVAL, "%s:%d: %zu input_ids but %zu labels", path, number,
                   json_array_size(inputs), json_array_size(labels));
  CZ_TRY(append_ids(&b->decoder.ids, inputs, "input_ids", path, number, 0, c->vocab_size));
  CZ_TRY(append_ids(&b->targets, labels, "labels", path, number, INT32_MIN, c->vocab_size));
  memmove(b->targets.data + dec, b->targets.data + dec + 1,
          (b->targets.len - dec - 1) * sizeof *b->targets.data);
  b->targets.data[b->targets.len - 1] = -100;
  if (prefix && (!json_is_integer(prefix) || json_integer_value(prefix) < 0 ||
                 json_integer_value(prefix) > (json_int_t)json_array_size(inputs)))
    return CZ_FAIL(CZ_EINVAL, "%s:%d: prefix is not a number of tokens from 0 to %zu", path, number,
                   json_array_size(inputs));
  CZ_TRY(cz_ids_add(&b->prefix, (int32_t)json_integer_value(prefix)));
  return cz_token_lists_close(&b->decoder, dec);
}

static int64_t counted(const cz_flat_batch *b) {
  int64_t n = 0;
  for (size_t i = 0; i < b->targets.len; i++) n += b->targets.data[i] >= 0;
  return n;
}

typedef struct batch_file {
  cz_flat_batch *batch;
  const cz_model_config *config;
} batch_file;

static cz_status add_segment(void *self, const json_t *value, const cz_json_place *at) {
  const batch_file *f = self;
  if (!json_is_object(value)) return cz_json_fail(at, NULL, "not an object");
  int number = (int)at->line;
  bool pair = f->config->family->architecture == CZ_ENCODER_DECODER;
  /* a mask, say, that nothing would read is refused */
  static const char *const of_pair[] = {"input_ids", "target_ids"}, *const of_stack[] = {
                                                                        "input_ids", "labels",
                                                                        "prefix"};
  CZ_TRY(pair ? cz_json_only(value, at, of_pair, 2) : cz_json_only(value, at, of_stack, 3));
  CZ_TRY(pair ? add_pair(f->batch, f->config, value, at->file, number)
              : add_stack(f->batch, f->config, value, at->file, number));
  f->batch->segments++;
  return CZ_OK;
}

static cz_status read_batch(cz_flat_batch *b, const cz_model_config *c, const char *path) {
  batch_file file = {b, c};
  CZ_TRY(cz_json_lines(path, add_segment, &file));
  if (!b->segments) return CZ_FAIL(CZ_EINVAL, "%s: no segment in this file", path);
  return counted(b) ? CZ_OK : CZ_FAIL(CZ_EINVAL, "%s: no position is counted", path);
}

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

static cz_status put_outputs(cz_h5_file *file, cz_net *net, const cz_flat_batch *b) {
  int64_t V = net->model->config.vocab_size, one = 1;
  double loss, *logits;
  CZ_TRY(cz_graph_read_loss(net->graph, &loss));
  CZ_TRY(cz_alloc(&logits, b->decoder.ids.len * (size_t)V, sizeof *logits));
  cz_status st = cz_graph_read(net->graph, logits, net->logits, (int64_t)b->decoder.ids.len * V);
  for (int64_t k = 0; st == CZ_OK && k < b->segments; k++) {
    char name[32];
    int64_t from = b->decoder.spans.data[2 * k],
            dims[2] = {b->decoder.spans.data[2 * k + 1] - from, V};
    snprintf(name, sizeof name, "logits/%lld", (long long)k);
    st = check_finite(name, logits + from * V, dims[0] * V, V);
    if (st == CZ_OK) st = put(file, name, logits + from * V, 2, dims);
  }
  free(logits);
  if (st == CZ_OK) st = check_finite("loss", &loss, 1, 1);
  return st == CZ_OK ? put(file, "loss", &loss, 1, &one) : st;
}

static cz_status put_grads(cz_h5_file *file, const cz_model *m) {
  for (size_t i = 0; i < m->params->n; i++) {
    const cz_param *p = m->params->list[i];
    char name[256];
    double *g;
    snprintf(name, sizeof name, "grad/%s", p->name);
    CZ_TRY(cz_alloc(&g, (size_t)p->count, sizeof *g));
    cz_status st = cz_device_read_real(m->device, g, p->grad, p->count);
    if (st == CZ_OK) st = check_finite(name, g, p->count, p->dim[p->ndim - 1]);
    if (st == CZ_OK) st = check_finite(name, g, p->count, p->ndim > 1 ? p->dim[1] : p->count);
    if (st == CZ_OK) st = put(file, name, g, p->ndim, p->dim);
    free(g);
    if (st != CZ_OK) return st;
  }
  return CZ_OK;
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

static cz_status run_batch(cz_net **net, cz_model *m, const cz_flat_batch *b, bool grads) {
  cz_net_options o = {.train = grads, .logits = true};
  cz_feed f;
  cz_flat_batch_capacities(&o, b);
  cz_feed_flat_batch(&f, b, (double)counted(b));
  cz_graph_run_options run = {0};
  CZ_TRY(cz_net_create(net, m, &o));
  CZ_TRY(cz_net_feed(*net, &f));
  return grads ? cz_graph_train((*net)->graph, &run) : cz_graph_forward((*net)->graph, &run);
}

/* The batch and the model are not to be written over. */
static cz_status check_out(const char *out, const char *batch_path, const char *folder) {
  static const char *const names[] = {"config.json", "model.safetensors",
                                      "model.safetensors.index.json", "tokenizer.json"};
  char path[4096];
  const char *input = path;
  CZ_TRY(cz_args_out(out, &batch_path, 1));
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    CZ_TRY(cz_fs_join(path, sizeof path, folder, names[i]));
    CZ_TRY(cz_args_out(out, &input, 1));
  }
  return CZ_OK;
}

/** The command `cloze trace`; its usage says what it reads and writes. */
cz_status cz_command_trace(int argc, char **argv) {
  const char *path = NULL, *out = NULL, *device_name = "ref", *precision_name = "f32";
  bool no_grad = false, wide_stream = false;
  cz_precision precision;
  const cz_option options[] = {{"--batch", &path, NULL},
                               {"--out", &out, NULL},
                               {"--device", &device_name, NULL},
                               {"--precision", &precision_name, NULL},
                               {"--wide-stream", NULL, &wide_stream},
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
  CZ_TRY(check_out(out, path, argv[1]));
  CZ_GO(st, cz_device_open(&device, device_name), done);
  CZ_GO(st, cz_recipe_model_folder(argv[1]), done);
  CZ_GO(st, cz_hf_open(&model, argv[1], device), done);
  CZ_GO(st, cz_model_compute(model, precision, wide_stream), done);
  CZ_GO(st, read_batch(&b, &model->config, path), done);
  CZ_GO(st, run_batch(&net, model, &b, !no_grad), done);
  CZ_GO(st, write_file(out, net, &b, !no_grad), done);
done:
  cz_net_destroy(&net);
  cz_model_destroy(&model);
  cz_device_close(&device);
  cz_flat_batch_free(&b);
  return st;
}
