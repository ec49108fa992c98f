#include "commands/commands.h"
#include "base/mem.h"
#include "commands/bench/bench.h"
#include "commands/corpus.h"
#include "experiment/experiment.h"
#include "commands/generate.h"
#include "commands/graph.h"
#include "commands/objective.h"
#include "commands/stage.h"
#include "commands/tokenize.h"
#include "commands/trace.h"

#include <string.h>

const char cz_version[] = "0.1.0";

/* Commands that are no kind of stage. */
static const cz_command own[] = {
    {"run", "run an experiment file: all rows, seeds and stages, or what is left of them",
     cz_run_usage, cz_command_run},
    {"report", "the table of a run: our rows, noise and intervals beside the paper's",
     cz_report_usage, cz_command_report},
    {"show", "what an experiment file would do, and what it would cost", cz_show_usage,
     cz_command_show},
    {"list", "experiments, models, objectives, tasks, devices", cz_list_usage, cz_command_list},
    {"generate", "a saved model writes", cz_generate_usage, cz_command_generate},
    {"trace", "loss, logits and every gradient of a model on a batch, to a file", cz_trace_usage,
     cz_command_trace},
    {"graph", "the planned graph of a stage's model", cz_graph_usage, cz_command_graph},
    {"objective", "what an objective does to a text", cz_objective_usage, cz_command_objective},
    {"tokenize", "text to token ids and back", cz_tokenize_usage, cz_command_tokenize},
    {"corpus", "build a corpus from text", cz_corpus_usage, cz_command_corpus},
    {"bench", "speed of a training step, and cost of the objectives", cz_bench_usage,
     cz_command_bench},
};
enum { N_OWN = sizeof own / sizeof *own, BEFORE_STAGES = 4 };

/** How many commands there are. */
size_t cz_command_count(void) { return N_OWN + cz_stage_row_count; }

/** The command number I. The kinds of stage are commands too: they stand after `list`. */
cz_command cz_command_at(size_t i) {
  if (i < BEFORE_STAGES) return own[i];
  if (i >= BEFORE_STAGES + cz_stage_row_count) return own[i - cz_stage_row_count];
  const cz_stage_kind *kind = cz_stage_rows[i - BEFORE_STAGES];
  return (cz_command){kind->name, kind->help, kind->usage, cz_command_stage};
}

static void print_man(FILE *out) {
  fprintf(out,
          ".TH CLOZE 1 \"\" \"cloze %s\"\n.SH NAME\ncloze \\- experiments that fill in blanks\n.SH "
          "COMMANDS\n",
          cz_version);
  for (size_t i = 0; i < cz_command_count(); i++) {
    const cz_command c = cz_command_at(i);
    fprintf(out, ".SS %s\n.nf\n", c.name);
    for (const char *s = c.usage; *s; s++) {
      if (*s == '-' || *s == '\\') fputc('\\', out);
      if (*s == '.' && s[-1] == '\n')
        fputs("\\&", out); /* a line that begins with a dot would be a request */
      fputc(*s, out);
    }
    fputs(".fi\n", out);
  }
  fputs(".SH EXIT STATUS\n0 done, 1 the run failed, 2 wrong usage or configuration, 130 or 143 "
        "stopped by a second SIGINT or SIGTERM\n",
        out);
}

/** Prints a document made from the tables: `keys`, every key of a configuration,
 * `keys-markdown`, the same in Markdown, or `man`, the manual page. */
cz_status cz_commands_document(FILE *out, const char *topic) {
  if (!strcmp(topic, "man")) return print_man(out), CZ_OK;
  cz_buf text = {0};
  cz_status st = cz_experiment_help(&text, !strcmp(topic, "keys-markdown"));
  if (st == CZ_OK) st = cz_stage_help(&text, !strcmp(topic, "keys-markdown"));
  if (st == CZ_OK) fputs(text.data, out);
  cz_buf_free(&text);
  return st;
}
