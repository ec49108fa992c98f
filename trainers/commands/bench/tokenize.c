/* `cloze bench tokenize`: how fast one thread turns lines of text into ids. */
#include "commands/bench/bench.h"
#include "base/args.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/number.h"
#include "base/utf8.h"
#include "device/random.h"
#include "text/tokenizer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MOST_REPEATS = 101, MADE_BYTES = 8 << 20, MADE_WORDS = 20000, LONGEST_WORD = 16 };

typedef struct bench {
  const char *tokenizer_name, *text_name;
  int64_t repeats;
  bool json;
  cz_tokenizer *tokenizer;
  cz_buf text;
  size_t lines, tokens;
  double *wall, *processor; /* seconds of each repetition */
} bench;

/* One to four syllables of a consonant, a vowel and perhaps a consonant; every fiftieth vowel has
 * an accent. */
static size_t make_word(char out[LONGEST_WORD], uint32_t rank) {
  static const char consonants[] = "tnrshdlcmfgpwbvk", vowels[] = "eaoiu";
  cz_stream s;
  size_t n = 0;
  cz_stream_init(&s, 0, "bench tokenize word", rank, 0);
  for (uint64_t k = 1 + cz_stream_below(&s, rank < 200 ? 2 : 4); k > 0; k--) {
    out[n++] = consonants[cz_stream_below(&s, sizeof consonants - 1)];
    if (cz_stream_below(&s, 50) == 0) {
      out[n++] = '\xC3';
      out[n++] = '\xA9';
    } else {
      out[n++] = vowels[cz_stream_below(&s, sizeof vowels - 1)];
    }
    if (cz_stream_below(&s, 2)) out[n++] = consonants[cz_stream_below(&s, sizeof consonants - 1)];
  }
  return n;
}

/* The word of rank r is drawn about as often as 1 / (r + 3), as words of a language are. */
static cz_status add_word(cz_buf *out, cz_stream *s) {
  char word[LONGEST_WORD];
  double rank = 3 * pow((MADE_WORDS + 3) / 3.0, cz_stream_uniform(s)) - 3;
  size_t n = make_word(word, (uint32_t)rank);
  if (cz_stream_below(s, 12) == 0) word[0] = (char)(word[0] - 'a' + 'A');
  if (cz_stream_below(s, 40) == 0)
    return cz_buf_addf(out, "%u", (unsigned)cz_stream_below(s, 10000));
  CZ_TRY(cz_buf_add(out, word, n));
  uint64_t mark = cz_stream_below(s, 24);
  return mark < 5 ? cz_buf_add(out, &",,,.?"[mark], 1) : CZ_OK;
}

static cz_status make_text(cz_buf *out) {
  cz_stream s;
  cz_stream_init(&s, 0, "bench tokenize text", 0, 0);
  while (out->len < MADE_BYTES) {
    for (uint64_t words = 8 + cz_stream_below(&s, 57); words > 0; words--) {
      CZ_TRY(add_word(out, &s));
      CZ_TRY(cz_buf_add(out, words > 1 ? " " : "\n", 1));
    }
  }
  return CZ_OK;
}

static double processor_seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* All lines once, with a word cache that is empty at the start: filling it is part of the work. */
static cz_status encode_all(bench *b, cz_encoding *e, cz_tokenizer_scratch *scratch) {
  const char *end = b->text.data + b->text.len;
  b->lines = b->tokens = 0;
  for (const char *at = b->text.data; at < end; b->lines++) {
    const char *newline = memchr(at, '\n', (size_t)(end - at)), *stop = newline ? newline : end;
    CZ_TRY(cz_tokenizer_encode(b->tokenizer, e, at, (size_t)(stop - at),
                               (cz_encode_options){.add_special = true}, scratch));
    b->tokens += e->n;
    at = newline ? newline + 1 : end;
  }
  return CZ_OK;
}

static cz_status time_once(bench *b, int64_t i) {
  cz_tokenizer_scratch *scratch;
  cz_encoding e = {0};
  CZ_TRY(cz_tokenizer_scratch_create(&scratch, b->tokenizer));
  double wall = cz_seconds(), processor = processor_seconds();
  cz_status st = encode_all(b, &e, scratch);
  b->wall[i] = cz_seconds() - wall;
  b->processor[i] = processor_seconds() - processor;
  cz_encoding_free(&e);
  cz_tokenizer_scratch_destroy(&scratch);
  return st;
}

static cz_status parse(bench *b, int argc, char **argv) {
  const char *repeats = "5";
  const cz_option options[] = {
      {"--text", &b->text_name, NULL}, {"--repeats", &repeats, NULL}, {"--json", NULL, &b->json}};
  CZ_TRY(cz_args_parse(&argc, argv, options, sizeof options / sizeof *options));
  CZ_TRY(cz_args_count(argc, argv, 1, 1, cz_bench_usage));
  b->tokenizer_name = argv[1];
  if (cz_parse_int(repeats, &b->repeats) == CZ_OK && b->repeats >= 1 && b->repeats <= MOST_REPEATS)
    return CZ_OK;
  return CZ_FAIL(CZ_EUSAGE, "--repeats: '%s' is not between 1 and %d", repeats, MOST_REPEATS);
}

static cz_status take_text(bench *b) {
  if (!b->text_name) return make_text(&b->text);
  CZ_TRY(cz_fs_read(b->text_name, &b->text));
  if (b->text.len == 0) return CZ_FAIL(CZ_EINVAL, "%s: an empty text takes no time", b->text_name);
  return cz_utf8_expect(b->text.data, b->text.len, b->text_name);
}

static cz_status print(bench *b) {
  const double megabytes = (double)b->text.len / 1e6, wall = cz_bench_median(b->wall, b->repeats),
               processor = cz_bench_median(b->processor, b->repeats);
  if (b->json)
    return cz_bench_print(
        json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:f, s:f, s:f}", "tokenizer", b->tokenizer_name,
                  "text", b->text_name ? b->text_name : "generated", "bytes",
                  (json_int_t)b->text.len, "lines", (json_int_t)b->lines, "tokens",
                  (json_int_t)b->tokens, "repeats", (json_int_t)b->repeats, "seconds", wall,
                  "mb_per_s", megabytes / wall, "mb_per_processor_s", megabytes / processor));
  printf("%s: %.1f MB/s of one thread (%.1f MB in %zu lines, %zu tokens; median of %lld; %.1f MB a "
         "second of processor time)\n",
         b->tokenizer_name, megabytes / wall, megabytes, b->lines, b->tokens, (long long)b->repeats,
         megabytes / processor);
  return CZ_OK;
}

/** `cloze bench tokenize`; see cz_bench_usage. */
cz_status cz_bench_tokenize(int argc, char **argv) {
  bench b = {0};
  cz_status st;
  CZ_GO(st, parse(&b, argc, argv), done);
  CZ_GO(st, cz_tokenizer_open(&b.tokenizer, b.tokenizer_name), done);
  CZ_GO(st, take_text(&b), done);
  CZ_GO(st, cz_alloc(&b.wall, (size_t)b.repeats, sizeof *b.wall), done);
  CZ_GO(st, cz_alloc(&b.processor, (size_t)b.repeats, sizeof *b.processor), done);
  for (int64_t i = 0; i < b.repeats; i++) CZ_GO(st, time_once(&b, i), done);
  st = print(&b);
done:
  free(b.wall);
  free(b.processor);
  cz_buf_free(&b.text);
  cz_tokenizer_destroy(&b.tokenizer);
  return st;
}
