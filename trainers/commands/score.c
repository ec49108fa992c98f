/* `cloze score`: how likely a language model finds the tokens of texts. */
#include "commands/commands.h"
#include "commands/outputs.h"
#include "base/args.h"
#include "base/line_stream.h"
#include "base/number.h"
#include "device/help.h"
#include "few_shot/likelihood.h"
#include "few_shot/shape.h"
#include "metrics/jsonl.h"
#include "nn/hf.h"
#include "recipe/recipe.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char cz_score_usage[] =
    "cloze score --model DIR --text FILE|- [--json] [--device D] [--precision P]\n"
    "How likely the language model in DIR finds each line of the text, in nats. A causal LM: log p "
    "of each token given those before it;\n"
    "GPT-2 reads no token in front of a text, so the first has none (null) and does not count in "
    "the sum. A masked LM: the\n"
    "pseudo-log-likelihood, log p of each token where it alone is hidden. Special tokens around a "
    "text are read and not counted; what\n"
    "the text spells is text. A line is written when it is computed, at the latest when the input "
    "pauses.\n"
    "  --json         an object a line: {\"tokens\": [...], \"logprobs\": [...], \"sum\": x}; "
    "without it a table: sum, tokens counted,\n"
    "                 their mean, and each token with its log p\n"
    "  --device D     " CZ_DEVICE_HELP "\n"
    "  --precision P  of products and activations: f32 (default), bf16, fp16\n";

/* Tokens that the model reads before lines are written. */
enum { BATCH_TOKENS = 4096 };

typedef struct session {
  const char *folder, *text, *device_name, *precision_name;
  bool json;
  cz_device *device;
  cz_model *model;
  cz_tokenizer *tokenizer;
  cz_likelihood *likelihood;
  cz_line_stream stream;
  cz_line_output output;
  cz_buf lines, token;
  size_t n; /* read and not written yet */
} session;

static cz_status parse(session *s, int argc, char **argv) {
  const cz_option options[] = {{"--model", &s->folder, NULL},
                               {"--text", &s->text, NULL},
                               {"--device", &s->device_name, NULL},
                               {"--precision", &s->precision_name, NULL},
                               {"--json", NULL, &s->json}};
  CZ_TRY(cz_args_parse(&argc, argv, options, sizeof options / sizeof *options));
  CZ_TRY(cz_args_count(argc, argv, 0, 0, cz_score_usage));
  if (!s->folder || !s->text)
    return CZ_FAIL(CZ_EUSAGE, "score: %s is missing", s->folder ? "--text FILE" : "--model DIR");
  return CZ_OK;
}

/* The model with the head that its family's language models have. */
static cz_status open_model(session *s) {
  cz_model_config c;
  cz_precision precision;
  CZ_TRY(cz_precision_find(&precision, s->precision_name));
  CZ_TRY(cz_hf_config_of(&c, s->folder));
  const cz_head head = c.family->architecture == CZ_ENCODER ? CZ_HEAD_MASKED_LM : CZ_HEAD_CAUSAL_LM;
  const cz_hf_options options = {.heads = CZ_HEAD_BIT(head)};
  if (head == CZ_HEAD_MASKED_LM) CZ_TRY(cz_masked_lm_check(s->folder, s->tokenizer));
  CZ_TRY(cz_hf_open_with(&s->model, s->folder, s->device, &options));
  return cz_model_compute(s->model, precision, false);
}

static cz_status open_all(session *s) {
  CZ_TRY(cz_device_open(&s->device, s->device_name));
  CZ_TRY(cz_recipe_model_folder(s->folder));
  CZ_TRY(cz_tokenizer_open(&s->tokenizer, s->folder));
  CZ_TRY(open_model(s));
  CZ_TRY(cz_recipe_ids_fit(s->tokenizer, &s->model->config, s->folder));
  cz_status st = cz_likelihood_create(&s->likelihood, s->model, s->tokenizer, BATCH_TOKENS);
  if (st != CZ_OK) return CZ_NOTE(st, "%s", s->folder);
  CZ_TRY(cz_line_stream_open(&s->stream, s->text));
  return cz_line_output_open(&s->output, "-");
}

static cz_status add_token(session *s, int32_t id) {
  size_t n = 0;
  const char *token = cz_tokenizer_token(s->tokenizer, id, &n);
  s->token.len = 0;
  CZ_TRY(cz_buf_add(&s->token, token ? token : "", token ? n : 0));
  return s->json ? cz_jsonl_quote(&s->lines, n ? s->token.data : "")
                 : cz_buf_add(&s->lines, s->token.data, s->token.len);
}

static cz_status add_number(cz_buf *out, double x) {
  char number[32] = "null";
  if (!isnan(x)) cz_format_real(number, x);
  return cz_buf_addf(out, "%s", number);
}

static cz_status add_object(session *s, const cz_text_likelihood *t) {
  CZ_TRY(cz_buf_addf(&s->lines, "{\"tokens\": ["));
  for (size_t i = 0; i < t->n; i++) {
    if (i) CZ_TRY(cz_buf_addf(&s->lines, ", "));
    CZ_TRY(add_token(s, t->ids[i]));
  }
  CZ_TRY(cz_buf_addf(&s->lines, "], \"logprobs\": ["));
  for (size_t i = 0; i < t->n; i++) {
    if (i) CZ_TRY(cz_buf_addf(&s->lines, ", "));
    CZ_TRY(add_number(&s->lines, t->logprobs[i]));
  }
  CZ_TRY(cz_buf_addf(&s->lines, "], \"sum\": "));
  CZ_TRY(add_number(&s->lines, t->sum));
  return cz_buf_addf(&s->lines, "}\n");
}

static cz_status add_row(session *s, const cz_text_likelihood *t) {
  size_t counted = 0;
  for (size_t i = 0; i < t->n; i++) counted += !isnan(t->logprobs[i]);
  CZ_TRY(cz_buf_addf(&s->lines, "%10.3f %6zu ", t->sum, counted));
  if (counted)
    CZ_TRY(cz_buf_addf(&s->lines, "%8.3f", t->sum / (double)counted));
  else
    CZ_TRY(cz_buf_addf(&s->lines, "%8s", "-"));
  for (size_t i = 0; i < t->n; i++) {
    CZ_TRY(cz_buf_addf(&s->lines, "  "));
    CZ_TRY(add_token(s, t->ids[i]));
    if (!isnan(t->logprobs[i])) CZ_TRY(cz_buf_addf(&s->lines, " %.2f", t->logprobs[i]));
  }
  return cz_buf_addf(&s->lines, "\n");
}

/* Scores and writes what was read. */
static cz_status answer(session *s) {
  if (!s->n) return CZ_OK;
  CZ_TRY(cz_likelihood_run(s->likelihood));
  for (size_t i = 0; i < s->n; i++) {
    const cz_text_likelihood t = cz_likelihood_of(s->likelihood, i);
    CZ_TRY(s->json ? add_object(s, &t) : add_row(s, &t));
  }
  cz_likelihood_clear(s->likelihood);
  s->n = 0;
  return cz_line_output_flush(&s->output, &s->lines);
}

/* Reads a line, unless there is none any more. */
static cz_status take(session *s, bool *more) {
  char *line;
  size_t n;
  CZ_TRY(cz_line_stream_next(&s->stream, &line, &n, more));
  if (!*more) return CZ_OK;
  cz_status st = cz_likelihood_add(s->likelihood, line, n);
  if (st != CZ_OK) return CZ_NOTE(st, "%s:%lld", s->stream.name, (long long)s->stream.number);
  s->n++;
  return CZ_OK;
}

static cz_status answer_all(session *s) {
  bool more = true;
  if (!s->json) CZ_TRY(cz_buf_addf(&s->lines, "%10s %6s %8s  tokens\n", "sum", "tokens", "mean"));
  while (more) {
    if (cz_likelihood_pending(s->likelihood) >= BATCH_TOKENS ||
        !cz_line_stream_has_line(&s->stream))
      CZ_TRY(answer(s));
    cz_status st = take(s, &more);
    if (st == CZ_EINVAL) CZ_TRY(answer(s)); /* what stands before the wrong line */
    CZ_TRY(st);
  }
  CZ_TRY(answer(s));
  return cz_line_output_flush(&s->output, &s->lines);
}

/** The command `cloze score`; its usage says what it reads and writes. */
cz_status cz_command_score(int argc, char **argv) {
  session s = {.device_name = "cpu", .precision_name = "f32"};
  CZ_TRY(parse(&s, argc, argv));
  cz_status st = open_all(&s);
  if (st == CZ_OK) st = answer_all(&s);
  cz_line_stream_close(&s.stream);
  cz_likelihood_destroy(&s.likelihood);
  cz_tokenizer_destroy(&s.tokenizer);
  cz_model_destroy(&s.model);
  cz_device_close(&s.device);
  cz_buf_free(&s.lines);
  cz_buf_free(&s.token);
  return st;
}
