/* The command `cloze corpus` with a real tokenizer and the sample of Debian's texts that
 * lies in the repository. */
#include "setup.h"
#include "text/tokenizer.h"
#include "commands/commands.h"

#include <stdio.h>

#define TOKENIZER CZ_SOURCE_DIR "/tests/fixtures/text/t5_a.json"
#define OTHER     CZ_SOURCE_DIR "/tests/fixtures/text/bytes.json"
#define SAMPLE    CZ_SOURCE_DIR "/experiments/quickstart/sample/"

static cz_status run_command(const char *const *words) {
  char copies[12][600], *argv[12];
  int argc = 0;
  for (; words[argc]; argc++) {
    snprintf(copies[argc], sizeof copies[0], "%s", words[argc]);
    argv[argc] = copies[argc];
  }
  return cz_command_corpus(argc, argv);
}

#define command(...) run_command((const char *const[]){"corpus", __VA_ARGS__, NULL})

static cz_tokenizer *tokenizer;
static cz_tokenizer_scratch *scratch;

/* Every line of the sample's first task, encoded here again, is what the corpus holds. */
static void test_lines(void **state) {
  OK(command("--tokenizer", TOKENIZER, "--documents", "line", "--out", under("lines.h5"),
             SAMPLE "section.dev.tsv"));
  cz_reader *r = open_documents(under("lines.h5"));
  FILE *f = fopen(SAMPLE "section.dev.tsv", "r");
  assert_non_null(f);
  char *line = NULL;
  size_t room = 0;
  int64_t i = 0;
  for (ssize_t n; (n = getline(&line, &room, f)) > 0; i++) {
    cz_encoding e = {0};
    cz_ids found = {0};
    OK(cz_tokenizer_encode(tokenizer, &e, line, (size_t)n - 1, (cz_encode_options){0}, scratch));
    OK(cz_reader_append(r, &found, i, 0, cz_reader_length(r, i)));
    assert_int_equal(found.len, e.n);
    assert_memory_equal(found.data, e.ids, e.n * sizeof *e.ids);
    free(found.data);
    cz_encoding_free(&e);
  }
  assert_int_equal(i, cz_reader_about(r)->documents);
  assert_true(i > 100);
  free(line);
  fclose(f);
  cz_reader_close(&r);
}

static void test_documents(void **state) {
  OK(command("--tokenizer", TOKENIZER, "--out", under("text.h5"), "--json", SAMPLE "pretrain.txt"));
  cz_reader *r = open_documents(under("text.h5"));
  assert_in_range(cz_reader_about(r)->documents, 1000, 100000);
  assert_true(cz_reader_about(r)->vocabulary.size == cz_tokenizer_get_facts(tokenizer)->size);
  int64_t documents = cz_reader_about(r)->documents;
  cz_reader_close(&r);
  OK(command("--tokenizer", TOKENIZER, "--out", under("text.h5"), "--documents", "line",
             SAMPLE "pretrain.txt"));
  r = open_documents(under("text.h5"));
  assert_true(cz_reader_about(r)->documents > documents); /* a paragraph each */
  cz_reader_close(&r);
  cz_tokenizer *other;
  OK(cz_tokenizer_open(&other, OTHER));
  uint64_t hash = cz_tokenizer_get_facts(other)->hash;
  FAILS(cz_reader_open(&r, under("text.h5"), &hash), CZ_EINVAL, "but the tokenizer in use is");
  cz_tokenizer_destroy(&other);
}

static void test_misuse(void **state) {
  FAILS(command("--out", "x.h5", "a.txt"), CZ_EUSAGE, "--tokenizer and --out are wanted");
  FAILS(command("--tokenizer", TOKENIZER, "--out", "x.h5"), CZ_EUSAGE, "1 more word wanted");
  FAILS(command("--tokenizr", TOKENIZER), CZ_EUSAGE, "did you mean '--tokenizer'?");
  FAILS(command("--tokenizer", TOKENIZER, "--out", "x.h5", "--documents", "page", "a.txt"),
        CZ_EUSAGE, "blank-line or line, not 'page'");
  FAILS(command("--tokenizer", "none.json", "--out", under("x.h5"), "a.txt"), CZ_EIO, "none.json");
  FAILS(command("--tokenizer", TOKENIZER, "--out", under("x.h5"), "none.txt"), CZ_EIO,
        "none.txt: No such file");
  write_text("bad.txt", "fine\n\nbad \xFF byte\n");
  FAILS(command("--tokenizer", TOKENIZER, "--out", under("x.h5"), under("bad.txt")), CZ_EINVAL,
        "bad.txt:3:5: ");
}

int main(void) {
  OK(cz_tokenizer_open(&tokenizer, TOKENIZER));
  OK(cz_tokenizer_scratch_create(&scratch, tokenizer));
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_lines), cmocka_unit_test(test_documents),
                                     cmocka_unit_test(test_misuse)};
  int failed = cmocka_run_group_tests_name("cloze corpus", tests, make_folder, drop_folder);
  cz_tokenizer_scratch_destroy(&scratch);
  cz_tokenizer_destroy(&tokenizer);
  return failed;
}
