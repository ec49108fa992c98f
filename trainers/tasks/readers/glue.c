/* GLUE (docs/t5.md 7.1): files as the benchmark distributes them, tab-separated.
 * Classes are in the order of TFDS. */
#include "tasks/readers/uniform.h"

static const char *const digits[] = {"0", "1"};
static const char *const acceptable[] = {"unacceptable", "acceptable", NULL};
static const char *const polarity[] = {"negative", "positive", NULL};
static const char *const equivalent[] = {"not_equivalent", "equivalent", NULL};
static const char *const duplicate[] = {"not_duplicate", "duplicate", NULL};
static const char *const three_way[] = {"entailment", "neutral", "contradiction", NULL};
static const char *const two_way[] = {"entailment", "not_entailment", NULL};

static const char *const cola_columns[] = {"source", "label", "mark", "sentence", NULL};
static const cz_uniform cola = {.prefix = "cola",
                                .fields = {{"sentence", "sentence"}},
                                .label = "label",
                                .spellings = digits,
                                .headerless = cola_columns};
static const cz_uniform sst2 = {
    .prefix = "sst2", .fields = {{"sentence", "sentence"}}, .label = "label", .spellings = digits};
static const cz_uniform mrpc = {.prefix = "mrpc",
                                .fields = {{"sentence1", "#1 String"}, {"sentence2", "#2 String"}},
                                .label = "Quality",
                                .spellings = digits};
static const cz_uniform stsb = {.prefix = "stsb",
                                .fields = {{"sentence1", "sentence1"}, {"sentence2", "sentence2"}},
                                .label = "score",
                                .number = true};
static const cz_uniform qqp = {.prefix = "qqp",
                               .fields = {{"question1", "question1"}, {"question2", "question2"}},
                               .label = "is_duplicate",
                               .spellings = digits,
                               .skip_short = true};
static const cz_uniform mnli = {.prefix = "mnli",
                                .fields = {{"hypothesis", "sentence2"}, {"premise", "sentence1"}},
                                .label = "gold_label"};
/* diagnostic.tsv has no labels and MNLI's names of columns, diagnostic-full.tsv its own. */
static const cz_uniform ax = {
    .prefix = "mnli",
    .fields = {{"hypothesis", "sentence2", "Hypothesis"}, {"premise", "sentence1", "Premise"}},
    .label = "label",
    .other_label = "Label"};
static const cz_uniform qnli = {.prefix = "qnli",
                                .fields = {{"question", "question"}, {"sentence", "sentence"}},
                                .label = "label"};
static const cz_uniform rte = {.prefix = "rte",
                               .fields = {{"sentence1", "sentence1"}, {"sentence2", "sentence2"}},
                               .label = "label"};

#define GLUE_TASK(task, names, what, ...)                                                          \
  const cz_task_row cz_task_row_##task = {.name = #task,                                           \
                                          .help = what,                                            \
                                          .section = CZ_TASK_SECTION(what),                        \
                                          .labels = names,                                         \
                                          .metrics = {__VA_ARGS__},                                \
                                          .read = cz_read_uniform_tsv,                             \
                                          .format = cz_uniform_format,                             \
                                          .describe = cz_uniform_describe,                         \
                                          .layout = &task}

GLUE_TASK(cola, acceptable, "is the sentence grammatical (GLUE)", CZ_METRIC_MCC);
GLUE_TASK(sst2, polarity, "is the review positive (GLUE)", CZ_METRIC_ACCURACY);
GLUE_TASK(mrpc, equivalent, "do the sentences say the same (GLUE)", CZ_METRIC_F1,
          CZ_METRIC_ACCURACY);
GLUE_TASK(qqp, duplicate, "do the questions ask the same (GLUE)", CZ_METRIC_F1, CZ_METRIC_ACCURACY);
GLUE_TASK(mnli, three_way, "does the premise entail the hypothesis (GLUE)", CZ_METRIC_ACCURACY);
GLUE_TASK(ax, three_way, "MNLI's question on the diagnostic set (GLUE)", CZ_METRIC_MCC);
GLUE_TASK(qnli, two_way, "does the sentence answer the question (GLUE)", CZ_METRIC_ACCURACY);
GLUE_TASK(rte, two_way, "does the first sentence entail the second (GLUE)", CZ_METRIC_ACCURACY);

const cz_task_row cz_task_row_stsb = {.name = "stsb",
                                      .help = "how alike the sentences are, 0.0 to 5.0 (GLUE)",
                                      .section =
                                          CZ_TASK_SECTION("how alike the sentences are (GLUE)"),
                                      .metrics = {CZ_METRIC_PEARSON, CZ_METRIC_SPEARMAN},
                                      .comparison = CZ_COMPARE_NUMBER,
                                      .read = cz_read_uniform_tsv,
                                      .format = cz_uniform_format,
                                      .layout = &stsb};
