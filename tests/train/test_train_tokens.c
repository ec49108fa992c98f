/* Pretraining of stacks that read tokens as they are: BERT by masked_lm, GPT-2 by causal_lm, from
 * text to a saved model; the same bits for any number of ranks; which objective is for whom. */
#include "train_test.h"

#include "checkpoint/safetensors.h"

#include <jansson.h>

/* A tokenizer like BERT's, of eight words. */
static void write_bert(const char *name) {
  static const char *const tokens[] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "of",
                                       "and",   "in",    "to",    "was",   "is",     "a"};
  FILE *f = fopen(under(name), "w");
  assert_non_null(f);
  fprintf(f, "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,\"added_tokens\":[");
  for (int i = 0; i < 5; i++)
    fprintf(
        f,
        "%s{\"id\":%d,\"content\":\"%s\",\"special\":true,\"single_word\":false,\"lstrip\":false,"
        "\"rstrip\":false,\"normalized\":false}",
        i ? "," : "", i, tokens[i]);
  fprintf(f, "],\"normalizer\":null,\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"},"
             "\"post_processor\":null,\"decoder\":{\"type\":\"WordPiece\",\"prefix\":\"##\","
             "\"cleanup\":true},\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"[UNK]\","
             "\"continuing_subword_prefix\":\"##\",\"max_input_chars_per_word\":100,\"vocab\":{");
  for (int i = 0; i < 13; i++) fprintf(f, "%s\"%s\":%d", i ? "," : "", tokens[i], i);
  fprintf(f, "}}}");
  assert_int_equal(fclose(f), 0);
}

/* Lines of one word each: what is masked follows from what is not. */
static void write_lines(const char *name) {
  static const char *const words[] = {"the", "of", "and", "in", "to", "was", "is", "a"};
  FILE *f = fopen(under(name), "w");
  assert_non_null(f);
  for (int line = 0; line < 64; line++) {
    for (int i = 0; i < 12 + line % 9; i++) fprintf(f, "%s ", words[line % 8]);
    fprintf(f, "\n\n");
  }
  assert_int_equal(fclose(f), 0);
}

static int make_texts(void **state) {
  if (make_runs(state)) return -1;
  write_bert("bert.json");
  write_lines("lines.txt");
  expect(0, "corpus --tokenizer @/bert.json --out @/lines.h5 @/lines.txt", "64 documents");
  write_format("masked.yaml",
               "seed: 5\ntokenizer: %s/bert.json\ncorpus: %s/lines.h5\n"
               "model: {name: bert-nano, d_model: 32, d_kv: 8, d_ff: 64, num_heads: 4, "
               "num_layers: 1, dropout: 0}\n"
               "objective: {name: masked_lm, inputs_length: 24}\n"
               "batch: {input_tokens: 512, shards: 2}\n"
               "optimizer: {name: adamw, learning_rate: 0.003, schedule: constant}\n"
               "train: {steps: 160, z_loss: 0, checkpoint_steps: 50}\n",
               folder(), folder());
  return 0;
}

static double metric(const char *run, const char *name) {
  char *text = metrics_of(run);
  json_t *m = json_loads(text, JSON_DECODE_ANY, NULL);
  if (!m) fail_msg("%s: no metrics in %s", run, text);
  double value = json_number_value(json_object_get(m, name));
  json_decref(m);
  free(text);
  return value;
}

/* Guessing among eight words is 2.08 nats; a line of one word leaves nothing to guess. */
static void masked(void **state) {
  run_into(&(start){0}, "pretrain @/masked.yaml", "masked");
  print_message("loss %.3f\n", metric("masked", "loss"));
  assert_true(metric("masked", "loss") < 1);
  assert_true(metric("masked", "steps") == 160 && metric("masked", "target_tokens") > 30000);
  run_into(&(start){0}, "pretrain @/masked.yaml batch.shards=1", "short");
}

static void ranks(void **state) {
#ifdef CZ_HAVE_MPI
  run_into(&(start){0}, "pretrain @/masked.yaml train.steps=6", "one");
  run_into(&(start){.ranks = 2}, "pretrain @/masked.yaml train.steps=6 --comm mpi", "two");
  same_run("one", "two");
#else
  print_message("skipped: built without MPI\n");
  skip();
#endif
}

/* So many texts a batch, whatever their lengths. */
static void examples(void **state) {
  run_into(&(start){0},
           "pretrain @/masked.yaml train.steps=5 batch.input_tokens=0 batch.examples=6 "
           "batch.max_inputs=24",
           "six");
  assert_true(metric("six", "examples") == 30);
  run_into(&(start){0},
           "pretrain @/masked.yaml train.steps=5 batch.input_tokens=0 batch.examples=60 "
           "batch.max_inputs=24 batch.epoch_ends=short",
           "ends"); /* 64 texts are shards of 30, 30 and 4 */
  assert_true(metric("ends", "examples") == 60 + 34 + 34 + 60 + 34);
  expect(1,
         "pretrain @/masked.yaml --out @/none batch.input_tokens=0 batch.examples=80 "
         "batch.max_inputs=24 batch.epoch_ends=restart batch.shards=8",
         "the data ended after 0 of 160 steps"); /* seven micro-batches of ten, never eight */
}

/* Whether all tensors of models A and B whose name holds PART have the same bytes, and whether all
 * have others; at least one must be there. */
static void compare(const char *a, const char *b, const char *part, bool *same, bool *other) {
  cz_safetensors *x, *y;
  int n = 0;
  OK(cz_safetensors_open_model(&x, under(a)));
  OK(cz_safetensors_open_model(&y, under(b)));
  *same = *other = true;
  for (size_t i = 0; i < cz_safetensors_count(x); i++) {
    const cz_safetensors_info *t = cz_safetensors_at(x, i), *u;
    const void *from, *to;
    if (!strstr(t->name, part)) continue;
    assert_non_null(u = cz_safetensors_find(y, t->name));
    OK(cz_safetensors_map(x, &from, t));
    OK(cz_safetensors_map(y, &to, u));
    const bool equal = t->bytes == u->bytes && !memcmp(from, to, t->bytes);
    *same = *same && equal, *other = *other && !equal, n++;
  }
  assert_true(n > 1);
  cz_safetensors_close(&x);
  cz_safetensors_close(&y);
}

/* A head on a frozen body, then everything (experiments/mlm): what the second stage begins with is
 * the first's body, byte for byte. */
static void frozen_body(void **state) {
  bool same, other;
  run_into(&(start){0}, "pretrain @/masked.yaml train.steps=3", "begin");
  run_into(&(start){0}, "pretrain @/masked.yaml init=@/begin/model train.steps=8 train.freeze=body",
           "head");
  assert_non_null(strstr(said(), " of them trained; memory: parameters and gradients "));
  compare("begin/model", "head/model", "bert.", &same, &other);
  assert_true(same);
  compare("begin/model", "head/model", "cls.", &same, &other);
  assert_true(other);
  run_into(&(start){0}, "pretrain @/masked.yaml init=@/head/model train.steps=8", "everything");
  compare("head/model", "everything/model", "bert.encoder.", &same, &other);
  assert_true(other);
#ifdef CZ_HAVE_MPI
  run_into(&(start){.ranks = 2},
           "pretrain @/masked.yaml init=@/begin/model train.steps=8 train.freeze=body --comm mpi",
           "head2");
  same_run("head", "head2");
#endif
}

/* Each text is of one word, so a run of another text shows: both losses go towards 0. */
static void sentences(void **state) {
  run_into(&(start){0}, "pretrain @/masked.yaml objective.name=next_sentence train.steps=500",
           "sentences");
  print_message("loss %.3f\n", metric("sentences", "loss"));
  assert_true(metric("sentences", "loss") < 1); /* 2.08 and 0.69 by guessing */
}

static void causal(void **state) {
  run_into(&(start){0},
           "pretrain @/pretrain.yaml objective.name=causal_lm model.name=gpt2-nano "
           "batch.target_tokens=0",
           "causal");
  assert_true(metric("causal", "examples") > 0 && metric("causal", "target_tokens") > 0);
}

static void wrong_pairs(void **state) {
#define GPT  "pretrain @/pretrain.yaml --out @/none model.name=gpt2-nano "
#define BERT "pretrain @/masked.yaml --out @/none "
  expect(2, GPT,
         "random_spans is for models that begin to read with a start token; the family "
         "gpt2 is for causal stacks that read tokens as they are");
  expect(2, BERT "model.name=gpt2-nano",
         "masked_lm is for stacks whose tokens all see one another");
  expect(2, BERT "objective.name=next_sentence model.name=roberta-nano",
         "next_sentence asks whether a text follows another, and the family roberta has no head");
  expect(2, BERT "batch.input_tokens=0", "batch: input_tokens is missing");
#undef GPT
#undef BERT
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(masked),     cmocka_unit_test(ranks),
                                     cmocka_unit_test(examples),   cmocka_unit_test(frozen_body),
                                     cmocka_unit_test(sentences),  cmocka_unit_test(causal),
                                     cmocka_unit_test(wrong_pairs)};
  return cmocka_run_group_tests_name("tokens as they are", tests, make_texts, drop_runs);
}
