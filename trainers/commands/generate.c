/* `cloze generate`: a saved model writes. */
#include "commands/commands.h"
#include "base/args.h"
#include "base/fs.h"
#include "base/lines.h"
#include "base/log.h"
#include "base/number.h"
#include "base/utf8.h"
#include "decoding/search.h"
#include "device/help.h"
#include "metrics/jsonl.h"
#include "nn/hf.h"
#include "objectives/vocabulary.h"
#include "recipe/recipe.h"
#include "text/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char cz_generate_usage[] =
    "cloze generate MODEL_DIR [--tokenizer FILE] [--beams N] [--length-penalty A] [--max-length N] "
    "[--device D] [--precision P] [--json] < text\n"
    "Writes the model's output for each line of standard input, in order. A file or a pipe is read "
    "to its end and decoded in batches; at a terminal each line is answered as it is typed, until "
    "ctrl-D. Decoding is incremental over key and value caches.\n"
    "  --tokenizer FILE    tokenizer.json, or a folder with one (default: MODEL_DIR)\n"
    "  --beams N           beam search of width N; 1 (default) is greedy\n"
    "  --length-penalty A  scores are divided by ((5 + length) / 6)^A (default 0.6, as T5), beams "
    "above 1\n"
    "  --max-length N      maximum tokens of an output, end of sequence included (default 64)\n"
    "  --device D          " CZ_DEVICE_HELP "\n"
    "  --precision P       of products and activations: f32 (default), bf16, fp16\n"
    "  --json              one object a line: {\"input\", \"output\", \"ids\", \"score\"}\n";

typedef struct request {
  cz_search_options search;
  const char *tokenizer_path, *device_name, *precision_name;
  bool json;
  cz_device *device;
  cz_model *model;
  cz_tokenizer *tokenizer;
  cz_buf text;
  char **lines;
  cz_ids *inputs, *outputs;
  double *scores;
  size_t n, cap;
  int64_t answered, unfinished; /* lines, in all; outputs among them that the limit cut off */
} request;

static cz_status parse_number(int64_t *out, const char *text, const char *option, int64_t maximum) {
  if (cz_parse_int(text, out) != CZ_OK || *out < 1 || *out > maximum)
    return CZ_FAIL(CZ_EUSAGE, "%s: '%s' is not between 1 and %lld", option, text,
                   (long long)maximum);
  return CZ_OK;
}

static cz_status parse(request *r, int *argc, char **argv) {
  const char *beams = "1", *alpha = "0.6", *length = "64";
  const cz_option options[] = {{"--tokenizer", &r->tokenizer_path, NULL},
                               {"--beams", &beams, NULL},
                               {"--length-penalty", &alpha, NULL},
                               {"--max-length", &length, NULL},
                               {"--device", &r->device_name, NULL},
                               {"--precision", &r->precision_name, NULL},
                               {"--json", NULL, &r->json}};
  CZ_TRY(cz_args_parse(argc, argv, options, sizeof options / sizeof *options));
  CZ_TRY(cz_args_count(*argc, argv, 1, 1, cz_generate_usage));
  CZ_TRY(parse_number(&r->search.beams, beams, "--beams", 64));
  CZ_TRY(parse_number(&r->search.max_length, length, "--max-length", 1 << 16));
  if (cz_parse_real(alpha, &r->search.length_penalty) != CZ_OK)
    return CZ_NOTE(CZ_EUSAGE, "--length-penalty");
  r->search.batch_tokens = 4096;
  return CZ_OK;
}

static const char name[] = "standard input";

/* Each line is an input, also an empty one, so that outputs stand beside inputs. */
static cz_status cut_lines(request *r) {
  const char *line;
  size_t n;
  CZ_TRY(cz_utf8_expect(r->text.data, r->text.len, name));
  cz_line_walk walk = cz_line_walk_over(r->text.data, r->text.len, name);
  while (cz_line_next(&walk, &line, &n)) {
    const char *nul = memchr(line, '\0', n);
    if (nul)
      return CZ_FAIL(CZ_EINVAL, "%s:%lld:%td: a NUL byte", name, (long long)walk.number,
                     nul - line + 1);
    char *text = r->text.data + (line - r->text.data);
    text[n] = '\0'; /* over the line's end, or the NUL behind the last line */
    CZ_TRY(cz_grow(&r->lines, &r->cap, r->n + 1, sizeof *r->lines));
    r->lines[r->n++] = text;
  }
  return CZ_OK;
}

/* All of the standard input. */
static cz_status read_all(request *r) {
  char piece[1 << 16];
  size_t k;
  while ((k = fread(piece, 1, sizeof piece, stdin)) > 0) CZ_TRY(cz_buf_add(&r->text, piece, k));
  return ferror(stdin) ? CZ_FAIL(CZ_EIO, "%s could not be read", name) : CZ_OK;
}

/* The next line of the standard input; none at its end. */
static cz_status read_line(request *r) {
  char *line = NULL;
  size_t room = 0;
  ssize_t n = getline(&line, &room, stdin);
  cz_status st = n > 0 ? cz_buf_add(&r->text, line, (size_t)n) : CZ_OK;
  free(line);
  return ferror(stdin) ? CZ_FAIL(CZ_EIO, "%s could not be read", name) : st;
}

static cz_status encode(request *r) {
  cz_tokenizer_scratch *scratch;
  cz_status st = CZ_OK;
  CZ_TRY(cz_alloc(&r->inputs, r->n, sizeof *r->inputs));
  CZ_TRY(cz_alloc(&r->outputs, r->n, sizeof *r->outputs));
  CZ_TRY(cz_alloc(&r->scores, r->n, sizeof *r->scores));
  CZ_TRY(cz_tokenizer_scratch_create(&scratch, r->tokenizer));
  for (size_t i = 0; i < r->n && st == CZ_OK; i++)
    st = cz_encode_text(&r->inputs[i], r->tokenizer, scratch, r->lines[i], strlen(r->lines[i]),
                        true);
  cz_tokenizer_scratch_destroy(&scratch);
  return st;
}

static cz_status print_one(const request *r, size_t i) {
  cz_buf out = {0}, line = {0};
  const cz_ids *ids = &r->outputs[i];
  cz_status st;
  CZ_GO(st, cz_tokenizer_decode(r->tokenizer, &out, ids->data, ids->len, true), done);
  CZ_GO(st, cz_buf_add(&out, "", 0), done);
  if (r->json) {
    CZ_GO(st, cz_buf_addf(&line, "{\"input\": "), done);
    CZ_GO(st, cz_jsonl_quote(&line, r->lines[i]), done);
    CZ_GO(st, cz_buf_addf(&line, ", \"output\": "), done);
    CZ_GO(st, cz_jsonl_quote(&line, out.data), done);
    CZ_GO(st, cz_buf_addf(&line, ", \"ids\": ["), done);
    for (size_t k = 0; k < ids->len; k++)
      CZ_GO(st, cz_buf_addf(&line, "%s%d", k ? ", " : "", ids->data[k]), done);
    CZ_GO(st, cz_buf_addf(&line, "], \"score\": %.9g}", r->scores[i]), done);
  }
  puts(r->json ? line.data : out.data);
done:
  cz_buf_free(&out);
  cz_buf_free(&line);
  return st;
}

/* Forgets the lines that were answered. */
static void clear_lines(request *r) {
  for (size_t i = 0; i < r->n; i++) {
    if (r->inputs) free(r->inputs[i].data);
    if (r->outputs) free(r->outputs[i].data);
  }
  free(r->inputs);
  free(r->outputs);
  free(r->scores);
  r->inputs = r->outputs = NULL;
  r->scores = NULL;
  r->n = r->text.len = 0;
}

/* Answers the lines that were read, in order. */
static cz_status answer(request *r) {
  CZ_TRY(encode(r));
  CZ_TRY(
      cz_search(r->outputs, r->scores, r->model, r->inputs, (int64_t)r->n, &r->search, NULL, NULL));
  for (size_t i = 0; i < r->n; i++) CZ_TRY(print_one(r, i));
  r->answered += (int64_t)r->n;
  return CZ_OK;
}

/* Answers each line as it is typed. One that is no text is refused and the next is read. */
static cz_status answer_lines(request *r) {
  for (;;) {
    CZ_TRY(read_line(r));
    if (!r->text.len) return CZ_OK;
    cz_status st = cut_lines(r);
    if (st == CZ_EINVAL) {
      cz_warn("%s", cz_error_message());
      cz_error_clear();
      r->n = 0;
    } else {
      CZ_TRY(st);
    }
    CZ_TRY(answer(r));
    if (fflush(stdout)) return CZ_FAIL(CZ_EIO, "standard output could not be written");
    clear_lines(r);
  }
}

static cz_status answer_all(request *r) {
  CZ_TRY(read_all(r));
  CZ_TRY(cut_lines(r));
  return answer(r);
}

static void free_request(request *r) {
  clear_lines(r);
  free(r->lines);
  cz_buf_free(&r->text);
  cz_tokenizer_destroy(&r->tokenizer);
  cz_model_destroy(&r->model);
  cz_device_close(&r->device);
}

/** The command `cloze generate`; its usage says what it reads and writes. */
cz_status cz_command_generate(int argc, char **argv) {
  request r = {.device_name = "cpu", .precision_name = "f32"};
  cz_precision precision;
  cz_status st;
  CZ_TRY(parse(&r, &argc, argv));
  CZ_TRY(cz_precision_find(&precision, r.precision_name));
  CZ_GO(st, cz_device_open(&r.device, r.device_name), done);
  CZ_GO(st, cz_recipe_model_folder(argv[1]), done);
  CZ_GO(st, cz_hf_open(&r.model, argv[1], r.device), done);
  CZ_GO(st, cz_model_compute(r.model, precision, false), done);
  CZ_GO(st, cz_tokenizer_open(&r.tokenizer, r.tokenizer_path ? r.tokenizer_path : argv[1]), done);
  r.search.banned_from = cz_tokenizer_get_facts(r.tokenizer)->size;
  if (r.search.banned_from > r.model->config.vocab_size) {
    st = CZ_FAIL(CZ_EUSAGE,
                 "the tokenizer has %d ids, the model %lld rows: they do not belong together",
                 r.search.banned_from, (long long)r.model->config.vocab_size);
    goto done;
  }
  r.search.unfinished = &r.unfinished;
  CZ_GO(st, isatty(STDIN_FILENO) ? answer_lines(&r) : answer_all(&r), done);
  if (r.unfinished)
    cz_warn("generate: %lld of %lld outputs were cut off after --max-length %lld tokens",
            (long long)r.unfinished, (long long)r.answered, (long long)r.search.max_length);
done:
  free_request(&r);
  return st;
}
