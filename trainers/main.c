/* The `cloze` command: finds the subcommand in one table, prints help from it, and turns
 * a status into an exit code. */
#include "base/args.h"
#include "base/nearest.h"
#include "base/status.h"
#include "commands/commands.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print_commands(FILE *f) {
  fprintf(f, "cloze COMMAND [WORD ...]     experiments that fill in blanks\n\n");
  for (size_t i = 0; i < cz_command_count(); i++)
    fprintf(f, "  %-10s %s\n", cz_command_at(i).name, cz_command_at(i).help);
  fprintf(f, "  %-10s %s\n", "help",
          "this list; help COMMAND: its manual; help keys or keys-markdown: every key of a "
          "configuration; help man: a manual page");
  fprintf(f, "\nExit codes: 0 done, 1 the run failed, 2 wrong usage or configuration, 130 or 143 "
             "stopped by a second ctrl-C or SIGTERM. With "
             "CLOZE_DEBUG=1 an error also says where in the program it was found.\n");
}

static bool find(cz_command *out, const char *name) {
  for (size_t i = 0; i < cz_command_count(); i++) {
    *out = cz_command_at(i);
    if (!strcmp(name, out->name)) return true;
  }
  return false;
}

static cz_status unknown(const char *name) {
  const char *names[64];
  size_t n = cz_command_count() < 64 ? cz_command_count() : 64;
  for (size_t i = 0; i < n; i++) names[i] = cz_command_at(i).name;
  return CZ_FAIL(CZ_EUSAGE, "no command is called '%s'%s (cloze help)", name,
                 cz_suggest(name, names, n).text);
}

static cz_status help(const char *topic) {
  if (!topic) return print_commands(stdout), CZ_OK;
  if (!strcmp(topic, "keys") || !strcmp(topic, "keys-markdown") || !strcmp(topic, "man"))
    return cz_commands_document(stdout, topic);
  cz_command c;
  if (!find(&c, topic)) return unknown(topic);
  return fputs(c.usage, stdout), CZ_OK;
}

static cz_status dispatch(int argc, char **argv) {
  if (argc < 2) return print_commands(stderr), CZ_FAIL(CZ_EUSAGE, "a command is missing");
  if (!strcmp(argv[1], "help") || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))
    return help(argc > 2 ? argv[2] : NULL);
  if (!strcmp(argv[1], "--version")) return printf("cloze %s\n", cz_version), CZ_OK;
  cz_command c;
  if (!find(&c, argv[1])) return unknown(argv[1]);
  for (int i = 2; i < argc; i++)
    if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) return help(argv[1]);
  return c.run(argc - 1, argv + 1);
}

int main(int argc, char **argv) {
  signal(SIGXFSZ,
         SIG_IGN); /* a file that may not grow is an error of the write, as a full disk is */
  cz_status st = dispatch(argc, argv);
  /* a write that failed on the way leaves no bytes to flush, but its mark on the stream */
  if ((fflush(stdout) || ferror(stdout)) && st == CZ_OK)
    st = CZ_FAIL(CZ_EIO, "standard output could not be written");
  if (st == CZ_OK) return 0;
  fprintf(stderr, "cloze: %s\n", cz_error_message());
  if (getenv("CLOZE_DEBUG"))
    fputs(cz_error_chain(), stderr); /* where in the program it happened, for a report */
  return st == CZ_EUSAGE ? 2 : 1;
}
