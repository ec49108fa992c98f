#include "train_test.h"

#include "base/clock.h"
#include "data/corpus.h"
#include "device/random.h"
#include "text/tokenizer.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char *output; /* what the last command printed */

#define TOKENIZER CZ_SOURCE_DIR "/tests/fixtures/text/t5_a.json"

static const char recipe[] = "seed: 5\n"
                             "tokenizer: " TOKENIZER "\n"
                             "model: {name: t5-nano, d_model: 16, d_kv: 4, d_ff: 24, num_layers: "
                             "1, num_heads: 2, dropout: 0.1}\n"
                             "batch: {input_tokens: 256, target_tokens: 128, shards: 4}\n"
                             "optimizer: {name: adafactor, learning_rate: 0.02}\n"
                             "train: {steps: 12, checkpoint_steps: 3, log_steps: 1}\n";

static const char experiment[] =
    "title: a made-up run\n"
    "source: nowhere\n"
    "data: %s\n"
    "seeds: [1]\n"
    "common:\n"
    "  tokenizer: " TOKENIZER "\n"
    "  model: {name: t5-nano, d_model: 16, d_kv: 4, d_ff: 24, num_layers: 1, num_heads: 2, "
    "dropout: 0.1}\n"
    "  optimizer: {name: adamw_scale, learning_rate: 0.02}\n"
    "stages:\n"
    "  pretrain:\n"
    "    kind: pretrain\n"
    "    corpus: $data/corpus.h5\n"
    "    objective: {name: random_spans, inputs_length: 48}\n"
    "    batch: {input_tokens: 256, target_tokens: 128, shards: 4}\n"
    "    train: {steps: 20, checkpoint_steps: 3, log_steps: 1}\n"
    "  finetune:\n"
    "    kind: finetune\n"
    "    init: $pretrain\n"
    "    batch: {input_tokens: 256, target_tokens: 64, shards: 2}\n"
    "    train: {steps: 20, checkpoint_steps: 4, log_steps: 2}\n"
    "    tasks: {list: [{name: tsv, train: $data/train.tsv, labels: 'yes,no'}]}\n"
    "  evaluate:\n"
    "    kind: evaluate\n"
    "    init: $finetune\n"
    "    evaluate: {split: dev, max_length: 4, max_inputs: 32}\n"
    "    tasks: {list: [{name: tsv, train: $data/train.tsv, dev: $data/dev.tsv, labels: "
    "'yes,no'}]}\n"
    "rows:\n"
    "  - {name: spans, set: {pretrain.objective.name: random_spans}}\n"
    "columns:\n"
    "  - {name: task, value: evaluate.tsv.scores.accuracy}\n";

static void make_corpus(const char *to, cz_corpus_vocabulary vocabulary, int documents) {
  cz_corpus_writer *w;
  cz_ids ids = {0};
  cz_stream s;
  OK(cz_corpus_create(&w, to, vocabulary));
  cz_stream_init(&s, 3, "corpus of the test", 0, 0);
  for (int i = 0; i < documents; i++) {
    ids.len = 0;
    for (int64_t n = 20 + (int64_t)cz_stream_below(&s, 60); n > 0; n--)
      OK(cz_ids_add(&ids, 3 + (int32_t)cz_stream_below(&s, (uint64_t)vocabulary.size - 20)));
    OK(cz_corpus_add(w, &ids));
  }
  OK(cz_corpus_commit(&w, NULL));
  free(ids.data);
}

static void make_task(const char *name, int lines, uint32_t part) {
  static const char *const words[] = {"the", "of", "and", "in", "to", "was", "is"};
  FILE *f = fopen(under(name), "w");
  cz_stream s;
  assert_non_null(f);
  cz_stream_init(&s, 4, "task of the test", part, 0);
  for (int i = 0; i < lines; i++) {
    int yes = (int)cz_stream_below(&s, 2);
    fprintf(f, "%s", yes ? "the" : "of");
    for (int k = 0; k < 5; k++) fprintf(f, " %s", words[cz_stream_below(&s, 7)]);
    fprintf(f, "\t%s\n", yes ? "yes" : "no");
  }
  assert_int_equal(fclose(f), 0);
}

/** Makes the folder, with a corpus of 300 documents, a task, three stages' configurations
 * and an experiment. */
int make_runs(void **state) {
  cz_tokenizer *t;
  test_seed();
  if (make_folder(state)) return -1;
  OK(cz_tokenizer_open(&t, TOKENIZER));
  cz_corpus_vocabulary own = {.hash = cz_tokenizer_get_facts(t)->hash,
                              .size = cz_tokenizer_get_facts(t)->size},
                       foreign = own;
  foreign.hash++;
  make_corpus(under("corpus.h5"), own, 300);
  make_corpus(under("foreign.h5"), foreign, 2);
  cz_tokenizer_destroy(&t);
  make_task("train.tsv", 60, 0);
  make_task("dev.tsv", 1200, 1);
  write_format("pretrain.yaml",
               "%scorpus: %s/corpus.h5\nobjective: {name: random_spans, inputs_length: 48}\n",
               recipe, folder());
  write_format("finetune.yaml",
               "%stasks: {list: [{name: tsv, train: %s/train.tsv, labels: 'yes,no'}]}\n", recipe,
               folder());
  write_format("experiment.yaml", experiment, folder());
  return 0;
}

/** Removes the folder, and forgets what was said. */
int drop_runs(void **state) {
  free(output);
  output = NULL;
  return drop_folder(state);
}

/** Writes a file of the folder as printf does. */
void write_format(const char *name, const char *format, ...) {
  FILE *f = fopen(under(name), "w");
  va_list args;
  assert_non_null(f);
  va_start(args, format);
  assert_true(vfprintf(f, format, args) >= 0);
  va_end(args);
  assert_int_equal(fclose(f), 0);
}

/** The whole file, with a NUL behind it; to be freed. N may be null. */
char *read_text(const char *from, size_t *n) {
  cz_buf b = {0};
  OK(cz_fs_read(from, &b));
  OK(cz_buf_add(&b, "", 0)); /* an empty file has memory too */
  if (n) *n = b.len;
  return b.data;
}

/** Copies a file. */
void copy_file(const char *to, const char *from) {
  size_t n;
  char *text = read_text(from, &n);
  FILE *f = fopen(to, "w");
  assert_non_null(f);
  assert_int_equal(fwrite(text, 1, n, f), n);
  assert_int_equal(fclose(f), 0);
  free(text);
}

/* Cuts WORDS at blanks; @/ anywhere stands for the folder. */
static void split(char *store, size_t n, const char **list, const char *words) {
  char *at = store, *end = store + n - strlen(folder());
  int k = 0;
  for (const char *w = words; *w; w += strspn(w, " ")) {
    assert_true(k < 60);
    for (list[k++] = at; *w && *w != ' '; w++) {
      assert_true(at < end);
      if (w[0] == '@' && w[1] == '/')
        at += strlen(strcpy(at, folder()));
      else
        *at++ = *w;
    }
    *at++ = '\0';
  }
  list[k] = NULL;
}

/* Open MPI refuses root and more ranks than cores unless told; what it leaks would end a
 * sanitizer's run. */
static void for_mpi(void) {
  static const char *const words[][2] = {{"OMPI_ALLOW_RUN_AS_ROOT", "1"},
                                         {"OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"},
                                         {"OMPI_MCA_rmaps_base_oversubscribe", "1"},
                                         {"ASAN_OPTIONS", "detect_leaks=0"}};
  for (size_t i = 0; i < sizeof words / sizeof *words; i++) setenv(words[i][0], words[i][1], 1);
}

static void in_child(const start *how, char *const *list) {
  char text[32];
  int out = open(under("output"), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  struct rlimit limit = {(rlim_t)how->file_limit, (rlim_t)how->file_limit};
  if (out < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0) _exit(99);
  snprintf(text, sizeof text, "%d", how->threads ? how->threads : 1);
  setenv("OMP_NUM_THREADS", text, 1);
  setenv("OMP_WAIT_POLICY", "passive", 1);
  if (how->ranks) for_mpi();
  if (how->file_limit) signal(SIGXFSZ, SIG_IGN), setrlimit(RLIMIT_FSIZE, &limit);
  execvp(list[0], list);
  _exit(98);
}

/** Starts `cloze WORDS` (words between blanks; @/ stands for the folder) with its output
 * in FOLDER/output. */
pid_t launch(const start *how, const char *words) {
  static char store[8192], ranks[16];
  const char *list[64];
  int k = 0;
  if (how->ranks) {
    snprintf(ranks, sizeof ranks, "%d", how->ranks);
    list[k++] = CZ_MPIEXEC;
    list[k++] = "-n";
    list[k++] = ranks;
  }
  if (how->runner) list[k++] = how->runner;
  list[k++] = CZ_BINARY_DIR "/bin/cloze";
  split(store, sizeof store, list + k, words);
  remove(under("output"));
  fflush(stdout);
  pid_t pid = fork();
  assert_true(pid >= 0);
  if (pid == 0) in_child(how, (char *const *)list);
  return pid;
}

/** Waits for a command: its exit code, or 128 + the signal that ended it. Keeps what it
 * printed for said(). */
int wait_for(pid_t pid) {
  int status;
  while (waitpid(pid, &status, 0) < 0) assert_int_equal(errno, EINTR);
  free(output);
  output = read_text(under("output"), NULL);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static bool has_said(const char *text) {
  if (!cz_fs_exists(under("output"))) return false;
  char *now = read_text(under("output"), NULL);
  bool found = strstr(now, text);
  free(now);
  return found;
}

/* Two minutes at most: a busy machine is slow, and a command that has ended will do no
 * more. One that does not get there is killed. */
static void wait_until(pid_t pid, bool (*happened)(const char *what), const char *what) {
  const struct timespec moment = {.tv_nsec = 1000000};
  siginfo_t end = {0};
  for (double began = cz_seconds(); cz_seconds() - began < 120; nanosleep(&moment, NULL)) {
    assert_int_equal(waitid(P_PID, (id_t)pid, &end, WEXITED | WNOHANG | WNOWAIT), 0);
    if (happened(what)) return;
    if (end.si_pid == pid) break;
  }
  kill(pid, SIGKILL);
  int code = wait_for(pid);
  fail_msg("'%s' did not come; the command ended with %d and said:\n%s", what, code, said());
}

/** Waits until the running command PID has printed TEXT; the test fails when it never
 * does. */
void wait_until_said(pid_t pid, const char *text) { wait_until(pid, has_said, text); }

/** Waits until the running command PID has made the file; the test fails when it never
 * does. */
void wait_for_file(pid_t pid, const char *file) { wait_until(pid, cz_fs_exists, file); }

/** Runs `cloze WORDS` and gives its exit code. */
int cloze(const start *how, const char *words) { return wait_for(launch(how, words)); }

/** What the last command printed. */
const char *said(void) { return output ? output : ""; }

/** Runs `cloze WORDS`: it must end with CODE and say TEXT. */
void expect(int code, const char *words, const char *text) {
  int got = cloze(&(start){0}, words);
  if (got != code || !strstr(said(), text))
    fail_msg("cloze %s\nended with %d, expected %d and '%s'; it said:\n%s", words, got, code, text,
             said());
}

/** The `metrics` of RUN/result.json as one text; to be freed. */
char *metrics_of(const char *run) {
  char name[600];
  json_error_t why;
  snprintf(name, sizeof name, "%s/result.json", run);
  json_t *result = json_load_file(under(name), 0, &why);
  if (!result) fail_msg("%s: %s", under(name), why.text);
  char *text =
      json_dumps(json_object_get(result, "metrics"), JSON_SORT_KEYS | JSON_REAL_PRECISION(17));
  assert_non_null(text);
  json_decref(result);
  return text;
}

/** Two files of the folder with the same bytes. */
void same_file(const char *a, const char *b) {
  size_t n, m;
  char *x = read_text(under(a), &n), *y = read_text(under(b), &m);
  if (n != m || memcmp(x, y, n)) fail_msg("%s and %s differ", a, b);
  free(x);
  free(y);
}

/** Leaves run as a run of pretrain.yaml with WORD that was stopped when it had FILE. On a busy
 * machine it may end before it hears of it: then again. */
void stop_midway(const char *word, const char *file) {
  char command[256];
  int code = 0;
  snprintf(command, sizeof command, "pretrain @/pretrain.yaml --out @/run %s", word);
  for (int again = 0; again < 10 && code == 0; again++) {
    remove_tree("run");
    pid_t pid = launch(&(start){0}, command);
    wait_for_file(pid, under(file));
    kill(pid, SIGINT);
    code = wait_for(pid);
  }
  assert_int_equal(code, 1);
}

/** Runs the command WORDS with its result in the folder OUT; it must succeed. */
void run_into(const start *how, const char *words, const char *out) {
  char text[512];
  snprintf(text, sizeof text, "%s --out @/%s", words, out);
  int code = cloze(how, text);
  if (code) fail_msg("cloze %s ended with %d:\n%s", text, code, said());
}

/** Two folders of training stages that came to the same: metrics, weights and curves, byte for
 * byte. */
void same_run(const char *a, const char *b) {
  char x[64], y[64], *m = metrics_of(a), *n = metrics_of(b);
  assert_string_equal(m, n);
  snprintf(x, sizeof x, "%s/model/model.safetensors", a);
  snprintf(y, sizeof y, "%s/model/model.safetensors", b);
  same_file(x, y);
  snprintf(x, sizeof x, "%s/metrics.jsonl", a);
  snprintf(y, sizeof y, "%s/metrics.jsonl", b);
  same_file(x, y);
  free(m);
  free(n);
}
