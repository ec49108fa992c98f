/* `cloze corpus`: text files to token ids, once, for all objectives and runs. */
#include "commands/commands.h"

#include "base/args.h"
#include "base/clock.h"
#include "base/stop.h"
#include "data/reader.h"
#include "text/tokenizer.h"

#include <stdio.h>
#include <string.h>

const char cz_corpus_usage[] =
    "usage: cloze corpus --tokenizer FILE --out FILE.h5 [--documents blank-line|line] [--json] "
    "TEXT...\n"
    "\n"
    "Encodes text files and stores the ids for `cloze pretrain`. The result is bound to the "
    "tokenizer: a run with another one refuses it. It is\n"
    "written aside, moved to its place once it is whole, and read back.\n"
    "\n"
    "  --tokenizer FILE        a tokenizer.json\n"
    "  --out FILE.h5           where to put the corpus; an existing file is replaced\n"
    "  --documents blank-line  a document ends at blank lines (default); lines inside it stay "
    "lines\n"
    "  --documents line        each line is a document\n"
    "  --json                  print the totals as one JSON object\n";

typedef struct options {
  const char *tokenizer, *out, *documents;
  bool json;
} options;

/* `self` of the function that encodes. */
typedef struct encoder {
  cz_tokenizer *tokenizer;
  cz_tokenizer_scratch *scratch;
  cz_encoding *encoding;
} encoder;

static cz_status encode(const void *self, cz_ids *out, const char *text, size_t n) {
  const encoder *e = self;
  CZ_TRY(
      cz_tokenizer_encode(e->tokenizer, e->encoding, text, n, (cz_encode_options){0}, e->scratch));
  CZ_TRY(cz_grow(&out->data, &out->cap, out->len + e->encoding->n, sizeof *out->data));
  if (e->encoding->n)
    memcpy(out->data + out->len, e->encoding->ids, e->encoding->n * sizeof *out->data);
  out->len += e->encoding->n;
  return CZ_OK;
}

static cz_status parse(options *o, cz_corpus_job *job, int *argc, char **argv) {
  const cz_option table[] = {{"--tokenizer", &o->tokenizer, NULL},
                             {"--out", &o->out, NULL},
                             {"--documents", &o->documents, NULL},
                             {"--json", NULL, &o->json}};
  CZ_TRY(cz_args_parse(argc, argv, table, sizeof table / sizeof *table));
  if (!o->tokenizer || !o->out)
    return CZ_FAIL(CZ_EUSAGE, "corpus: --tokenizer and --out are wanted\n%s", cz_corpus_usage);
  bool lines = o->documents && !strcmp(o->documents, "line");
  if (o->documents && !lines && strcmp(o->documents, "blank-line"))
    return CZ_FAIL(CZ_EUSAGE, "corpus: --documents is blank-line or line, not '%s'", o->documents);
  CZ_TRY(cz_args_count(*argc, argv, 1, -1, cz_corpus_usage));
  job->split = lines ? CZ_SPLIT_LINE : CZ_SPLIT_BLANK_LINE;
  job->files = (const char *const *)argv + 1;
  job->n_files = (size_t)*argc - 1;
  CZ_TRY(cz_args_out(o->out, &o->tokenizer, 1));
  return cz_args_out(o->out, job->files, job->n_files);
}

/* Reads every chunk back and checks it, so that a bad disk is noticed now and not in the
 * middle of a training run. */
static cz_status verify(const char *path, const cz_corpus_job *job) {
  cz_reader *reader = NULL;
  cz_status st = cz_reader_open(&reader, path, &job->vocabulary.hash);
  if (st == CZ_OK) st = cz_reader_verify(reader);
  cz_reader_close(&reader);
  return st;
}

static void report(const options *o, const cz_corpus_totals *t, double seconds) {
  double bytes_per_token = t->tokens ? (double)t->bytes / (double)t->tokens : 0;
  if (o->json)
    printf("{\"documents\": %lld, \"tokens\": %lld, \"bytes\": %lld, \"seconds\": %.3f, "
           "\"tokens_per_s\": %.0f}\n",
           (long long)t->documents, (long long)t->tokens, (long long)t->bytes, seconds,
           (double)t->tokens / seconds);
  else
    printf("%s: %lld documents, %lld tokens from %.1f MB of text (%.2f bytes a token) in %.1f s, "
           "%.2f M tokens/s\n",
           o->out, (long long)t->documents, (long long)t->tokens, (double)t->bytes * 1e-6,
           bytes_per_token, seconds, (double)t->tokens / seconds * 1e-6);
}

static cz_status build(const options *o, const cz_corpus_job *asked) {
  cz_corpus_job job = *asked; /* its encoder lives as long as this function */
  cz_encoding encoding = {0};
  encoder e = {.encoding = &encoding};
  cz_corpus_totals totals;
  double began = cz_seconds();
  cz_status st;
  CZ_GO(st, cz_tokenizer_open(&e.tokenizer, o->tokenizer), done);
  CZ_GO(st, cz_tokenizer_scratch_create(&e.scratch, e.tokenizer), done);
  const cz_tokenizer_facts *facts = cz_tokenizer_get_facts(e.tokenizer);
  job.vocabulary = (cz_corpus_vocabulary){.hash = facts->hash, .size = facts->size};
  job.encode = encode;
  job.encoder = &e;
  CZ_GO(st, cz_corpus_build(o->out, &totals, &job), done);
  CZ_GO(st, verify(o->out, &job), done);
  report(o, &totals, cz_seconds() - began);
done:
  cz_encoding_free(&encoding);
  cz_tokenizer_scratch_destroy(&e.scratch);
  cz_tokenizer_destroy(&e.tokenizer);
  return st;
}

/** The command: argv[0] is "corpus". Writes the corpus and prints its totals. CZ_EUSAGE
 * for wrong arguments; otherwise as cz_corpus_build and cz_tokenizer_open. */
cz_status cz_command_corpus(int argc, char **argv) {
  options o = {0};
  cz_corpus_job job = {0};
  CZ_TRY(parse(&o, &job, &argc, argv));
  cz_stop_on_signals(false); /* what is half written goes on the way out */
  return build(&o, &job);
}
