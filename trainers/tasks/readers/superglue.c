/* SuperGLUE's tasks of one shape (docs/t5.md 7.1): files as the benchmark
 * distributes them, one JSON object a line. The others are in multirc.c, record.c and
 * wsc.c. */
#include "tasks/readers/uniform.h"

static const char *const truth[] = {"False", "True", NULL};
static const char *const truth_spellings[] = {"false", "true"};
static const char *const choices[] = {"choice1", "choice2", NULL};
static const char *const digits[] = {"0", "1"};
static const char *const commitment[] = {"entailment", "contradiction", "neutral", NULL};
static const char *const two_way[] = {"entailment", "not_entailment", NULL};

static const cz_uniform boolq = {.prefix = "boolq",
                                 .fields = {{"passage", "passage"}, {"question", "question"}},
                                 .label = "label",
                                 .spellings = truth_spellings};
static const cz_uniform cb = {.prefix = "cb",
                              .fields = {{"hypothesis", "hypothesis"}, {"premise", "premise"}},
                              .label = "label"};
static const cz_uniform copa = {.prefix = "copa",
                                .fields = {{"choice1", "choice1"},
                                           {"choice2", "choice2"},
                                           {"premise", "premise"},
                                           {"question", "question"}},
                                .label = "label",
                                .spellings = digits,
                                .paper_labels = truth};
static const cz_uniform wic = {.prefix = "wic",
                               .fields = {{"pos", "pos", .paper_only = true},
                                          {"sentence1", "sentence1"},
                                          {"sentence2", "sentence2"},
                                          {"word", "word"}},
                               .label = "label",
                               .spellings = truth_spellings};
static const cz_uniform superglue_rte = {
    .prefix = "rte",
    .fields = {{"hypothesis", "hypothesis"}, {"premise", "premise"}},
    .label = "label"};
static const cz_uniform axb = {.prefix = "rte",
                               .fields = {{"hypothesis", "sentence2"}, {"premise", "sentence1"}},
                               .label = "label"};
static const cz_uniform axg = {.prefix = "rte",
                               .fields = {{"hypothesis", "hypothesis"}, {"premise", "premise"}},
                               .label = "label"};

#define SUPERGLUE_TASK(task, names, what, ...)                                                     \
  const cz_task_row cz_task_row_##task = {.name = #task,                                           \
                                          .help = what,                                            \
                                          .section = CZ_TASK_SECTION(what),                        \
                                          .labels = names,                                         \
                                          .metrics = {__VA_ARGS__},                                \
                                          .read = cz_read_uniform_json,                            \
                                          .format = cz_uniform_format,                             \
                                          .describe = cz_uniform_describe,                         \
                                          .layout = &task}

SUPERGLUE_TASK(boolq, truth, "a yes-no question about a passage (SuperGLUE)", CZ_METRIC_ACCURACY);
SUPERGLUE_TASK(cb, commitment, "is the writer committed to the hypothesis (SuperGLUE)",
               CZ_METRIC_MACRO_F1, CZ_METRIC_ACCURACY);
SUPERGLUE_TASK(copa, choices, "which of two is the cause or effect (SuperGLUE)",
               CZ_METRIC_ACCURACY);
SUPERGLUE_TASK(wic, truth, "is the word used in one sense (SuperGLUE)", CZ_METRIC_ACCURACY);
SUPERGLUE_TASK(superglue_rte, two_way, "does the premise entail the hypothesis (SuperGLUE)",
               CZ_METRIC_ACCURACY);
SUPERGLUE_TASK(axb, two_way, "RTE's question on the broad diagnostic set (SuperGLUE)",
               CZ_METRIC_MCC);
SUPERGLUE_TASK(axg, two_way, "RTE's question on the gender diagnostic set (SuperGLUE)",
               CZ_METRIC_ACCURACY);
