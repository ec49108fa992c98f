#include "commands/commands.h"
#include "base/mem.h"
#include "experiment/experiment.h"

#include <string.h>

const char cz_version[] = "0.1.0";

/* The lines of commands.def; the one without a name stands for the kinds of stage. */
static const cz_command rows[] = {
#define CZ_COMMAND(name, help) {#name, help, cz_##name##_usage, cz_command_##name},
#define CZ_STAGE_COMMANDS      {NULL, NULL, NULL, NULL},
#include "commands/commands.def"
#undef CZ_COMMAND
#undef CZ_STAGE_COMMANDS
};

/** How many commands there are. */
size_t cz_command_count(void) { return sizeof rows / sizeof *rows - 1 + cz_stage_row_count; }

/** The command number I, from 0: a row of commands.def or a kind of stage. */
cz_command cz_command_at(size_t i) {
  size_t stages = 0;
  while (rows[stages].name) stages++;
  if (i < stages) return rows[i];
  if (i >= stages + cz_stage_row_count) return rows[i - cz_stage_row_count + 1];
  const cz_stage_kind *kind = cz_stage_rows[i - stages];
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
